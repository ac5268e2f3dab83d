import { Component, effect, inject, input, numberAttribute, signal, untracked } from '@angular/core';
import { RouterLink } from '@angular/router';
import { Api, Order, Person, explain } from '../api';
import { Live } from '../live';
import { Money } from '../money';

@Component({
  imports: [RouterLink, Money],
  template: `
    <p><a routerLink="/people">All people</a></p>
    @if (person(); as person) {
      <h1>{{ person.name }}</h1>
      <section class="card">
        <p>{{ person.email }} <span class="badge">{{ person.role }}</span></p>
        <h2>Orders</h2>
        <table aria-label="Orders">
          <tbody>
            @for (order of orders(); track order.id) {
              <tr>
                <td>{{ order.number }}</td>
                <td><span class="badge" [class]="order.status">{{ order.status }}</span></td>
                <td>{{ order.totalCents | money }}</td>
              </tr>
            } @empty {
              <tr><td class="soft">None yet.</td></tr>
            }
          </tbody>
        </table>
      </section>
    } @else if (message()) {
      <p role="alert">{{ message() }}</p>
    }
  `,
})
export class PersonPage {
  private readonly api = inject(Api);
  readonly id = input.required({ transform: numberAttribute });
  protected readonly person = signal<Person | null>(null);
  protected readonly orders = signal<Order[]>([]);
  protected readonly message = signal('');

  constructor() {
    const live = inject(Live);
    effect(() => {
      live.changes();
      const id = this.id();
      untracked(() => this.load(id));
    });
  }

  private load(id: number): void {
    this.api.person(id).subscribe({
      next: (person) => this.person.set(person),
      error: (error) => {
        this.person.set(null);
        this.message.set(explain(error));
      },
    });
    this.api.orders(id).subscribe((orders) => this.orders.set(orders));
  }
}
