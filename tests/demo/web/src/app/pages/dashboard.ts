import { HttpClient } from '@angular/common/http';
import { Component, effect, inject, signal, untracked } from '@angular/core';
import { API } from '../api';
import { Live } from '../live';
import { Session } from '../session';

type Totals = Record<'roles' | 'people' | 'users' | 'products' | 'orders' | 'orderLines' | 'uploads' | 'auditEntries', number>;

@Component({
  styles: `
    .tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; padding: 0; margin: 0; list-style: none; }
    .tiles li { margin: 0; }
    .tiles strong { display: block; font-size: 1.8rem; line-height: 1.2; }
  `,
  template: `
    <h1>Welcome, {{ session.user()?.userName }}</h1>
    <ul class="tiles" aria-label="Totals">
      @if (totals(); as totals) {
        @for (tile of tiles; track tile.key) {
          <li class="card" [attr.data-testid]="tile.key"><strong>{{ totals[tile.key] }}</strong>
            <span class="soft">{{ tile.name }}</span></li>
        }
      }
    </ul>
  `,
})
export class Dashboard {
  protected readonly session = inject(Session);
  private readonly http = inject(HttpClient);
  protected readonly totals = signal<Totals | null>(null);
  protected readonly tiles: { key: keyof Totals; name: string }[] = [
    { key: 'people', name: 'People' },
    { key: 'roles', name: 'Roles' },
    { key: 'orders', name: 'Orders' },
    { key: 'orderLines', name: 'Order lines' },
    { key: 'products', name: 'Products' },
    { key: 'users', name: 'Accounts' },
    { key: 'uploads', name: 'Files' },
    { key: 'auditEntries', name: 'Audit entries' },
  ];

  constructor() {
    const live = inject(Live);
    effect(() => {
      live.changes();
      untracked(() => this.http.get<Totals>(`${API}/api/totals`).subscribe((totals) => this.totals.set(totals)));
    });
  }
}
