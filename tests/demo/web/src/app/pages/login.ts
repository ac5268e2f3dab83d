import { Component, inject, input, signal } from '@angular/core';
import { FormsModule } from '@angular/forms';
import { Router } from '@angular/router';
import { explain } from '../api';
import { Session } from '../session';

@Component({
  imports: [FormsModule],
  styles: `
    .card { max-width: 22rem; margin: 3rem auto; }
    form { display: grid; align-items: stretch; }
  `,
  template: `
    <section class="card">
      <h1>Log in</h1>
      <form (ngSubmit)="login()">
        <label>User <input name="userName" [(ngModel)]="userName" autocomplete="username" required></label>
        <label>Password
          <input name="password" type="password" [(ngModel)]="password" autocomplete="current-password" required>
        </label>
        <button class="main">Log in</button>
      </form>
      @if (message()) { <p role="alert">{{ message() }}</p> }
    </section>
  `,
})
export class Login {
  private readonly session = inject(Session);
  private readonly router = inject(Router);
  readonly returnUrl = input<string>();
  protected readonly message = signal('');
  protected userName = '';
  protected password = '';

  protected async login(): Promise<void> {
    try {
      await this.session.login(this.userName, this.password);
      await this.router.navigateByUrl(this.returnUrl() ?? '/dashboard');
    } catch (error) {
      this.message.set(explain(error));
    }
  }
}
