import { Component, effect, inject } from '@angular/core';
import { Router, RouterLink, RouterLinkActive, RouterOutlet } from '@angular/router';
import { Live } from './live';
import { Session } from './session';

@Component({
  selector: 'app-root',
  imports: [RouterOutlet, RouterLink, RouterLinkActive],
  styles: `
    header { background: #fff; border-bottom: 1px solid var(--line); }
    .bar, main { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
    .bar { display: flex; align-items: center; gap: 1.5rem; height: 3.5rem; }
    main { padding-top: 1.75rem; padding-bottom: 3rem; }
    .brand { display: flex; align-items: center; gap: .6rem; font-weight: 600; color: inherit; text-decoration: none; }
    nav { display: flex; gap: 1.1rem; flex: 1; }
    nav a { color: var(--soft); text-decoration: none; line-height: 3.4rem; border-bottom: 2px solid transparent; }
    nav a.here { color: var(--ink); border-color: var(--accent); }
    .who { display: flex; align-items: center; gap: .6rem; }
  `,
  template: `
    <header>
      <div class="bar">
        <a class="brand" routerLink="/"><img src="logo.png" alt="" width="24" height="24">People and orders</a>
        @if (session.user(); as user) {
          <nav aria-label="Pages">
            @for (page of pages; track page.link) {
              <a [routerLink]="page.link" routerLinkActive="here">{{ page.name }}</a>
            }
          </nav>
          <div class="who">
            <span class="badge" [class.connected]="live.hubState() === 'connected'" data-testid="hub">
              {{ live.hubState() === 'connected' ? 'live' : 'offline' }}
            </span>
            <span data-testid="user">{{ user.userName }}</span>
            <button class="plain" (click)="logout()">Log out</button>
          </div>
        }
      </div>
    </header>
    <main><router-outlet /></main>
  `,
})
export class App {
  protected readonly session = inject(Session);
  protected readonly live = inject(Live);
  private readonly router = inject(Router);
  protected readonly pages = [
    { link: '/dashboard', name: 'Dashboard' },
    { link: '/people', name: 'People' },
    { link: '/roles', name: 'Roles' },
    { link: '/orders', name: 'Orders' },
    { link: '/files', name: 'Files' },
    { link: '/events', name: 'Live events' },
  ];

  constructor() {
    effect(() => {
      if (this.session.user()) {
        this.live.start();
      }
    });
  }

  protected async logout(): Promise<void> {
    await this.live.stop();
    await this.session.logout();
    await this.router.navigateByUrl('/login');
  }
}
