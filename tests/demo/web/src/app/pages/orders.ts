import { Component, effect, inject, signal, untracked } from '@angular/core';
import { FormsModule } from '@angular/forms';
import { firstValueFrom } from 'rxjs';
import { Api, Order, Person, Product, explain } from '../api';
import { Live } from '../live';
import { Money } from '../money';

@Component({
  imports: [FormsModule, Money],
  template: `
    <h1>Orders <span class="soft" data-testid="count">{{ orders().length }}</span></h1>
    <section class="card">
      <h2>New order</h2>
      <form (ngSubmit)="add()">
        <label>Number <input name="number" [(ngModel)]="number"></label>
        <label>Person
          <select name="person" [(ngModel)]="personId">
            @for (person of people(); track person.id) { <option [ngValue]="person.id">{{ person.name }}</option> }
          </select>
        </label>
        <label>Product
          <select name="product" [(ngModel)]="productId">
            @for (product of products(); track product.id) { <option [ngValue]="product.id">{{ product.name }}</option> }
          </select>
        </label>
        <label>Quantity <input name="quantity" type="number" [(ngModel)]="quantity"></label>
        <button class="main">Order</button>
      </form>
      @if (message()) { <p role="alert">{{ message() }}</p> }
    </section>
    <section class="card">
      <table aria-label="Orders">
        <thead><tr><th>Number</th><th>Person</th><th>Status</th><th>Total</th><th></th></tr></thead>
        <tbody>
          @for (order of orders(); track order.id) {
            <tr>
              <td>{{ order.number }}</td>
              <td>{{ nameOf(order.personId) }}</td>
              <td><span class="badge" [class]="order.status">{{ order.status }}</span></td>
              <td>{{ order.totalCents | money }}</td>
              <td>
                <button class="plain" [disabled]="order.status !== 'Pending'" (click)="cancel(order.id)"
                  [attr.aria-label]="'Cancel ' + order.number">Cancel</button>
              </td>
            </tr>
          } @empty {
            <tr><td colspan="5" class="soft">No orders yet.</td></tr>
          }
        </tbody>
      </table>
    </section>
  `,
})
export class Orders {
  private readonly api = inject(Api);
  protected readonly orders = signal<Order[]>([]);
  protected readonly people = signal<Person[]>([]);
  protected readonly products = signal<Product[]>([]);
  protected readonly message = signal('');
  protected number = '';
  protected personId = 1;
  protected productId = 1;
  protected quantity = 1;

  constructor() {
    const live = inject(Live);
    this.api.people().subscribe((people) => this.people.set(people));
    this.api.products().subscribe((products) => this.products.set(products));
    effect((onCleanup) => {
      live.changes();
      const answer = untracked(() => this.api.orders().subscribe((orders) => this.orders.set(orders)));
      onCleanup(() => answer.unsubscribe());
    });
  }

  protected nameOf(personId: number): string {
    return this.people().find((person) => person.id === personId)?.name ?? '';
  }

  protected async add(): Promise<void> {
    const lines = [{ productId: this.productId, quantity: this.quantity }];
    await this.attempt(() => firstValueFrom(this.api.addOrder({ number: this.number, personId: this.personId, lines })));
  }

  protected async cancel(id: number): Promise<void> {
    await this.attempt(() => firstValueFrom(this.api.cancelOrder(id)));
  }

  private async attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.message.set('');
      this.orders.set(await firstValueFrom(this.api.orders()));
    } catch (error) {
      this.message.set(explain(error));
    }
  }
}
