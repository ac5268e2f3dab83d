import { Injectable, inject, signal } from '@angular/core';
import { CanActivateFn, Router } from '@angular/router';
import { firstValueFrom } from 'rxjs';
import { Api, CurrentUser } from './api';

@Injectable({ providedIn: 'root' })
export class Session {
  private readonly api = inject(Api);
  readonly user = signal<CurrentUser | null>(null);

  /** Asks the API whose cookie this browser holds; only the first call has to wait for an answer. */
  async restore(): Promise<CurrentUser | null> {
    if (this.user() === null) {
      this.user.set(await firstValueFrom(this.api.me()).catch(() => null));
    }
    return this.user();
  }

  async login(userName: string, password: string): Promise<void> {
    this.user.set(await firstValueFrom(this.api.login(userName, password)));
  }

  async logout(): Promise<void> {
    await firstValueFrom(this.api.logout());
    this.user.set(null);
  }
}

/** Pages behind the login; who is not logged in comes back to the page afterwards. */
export const loggedIn: CanActivateFn = async (_route, state) => {
  const router = inject(Router);
  const user = await inject(Session).restore();
  return user !== null || router.createUrlTree(['/login'], { queryParams: { returnUrl: state.url } });
};
