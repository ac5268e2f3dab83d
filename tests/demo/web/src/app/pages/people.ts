import { Component, effect, inject, signal, untracked } from '@angular/core';
import { FormsModule } from '@angular/forms';
import { RouterLink } from '@angular/router';
import { firstValueFrom } from 'rxjs';
import { Api, Person, Role, explain } from '../api';
import { Live } from '../live';

@Component({
  imports: [FormsModule, RouterLink],
  template: `
    <h1>People <span class="soft" data-testid="count">{{ people().length }}</span></h1>
    <section class="card">
      <h2>New person</h2>
      <form (ngSubmit)="add()">
        <label>Name <input name="name" [(ngModel)]="name"></label>
        <label>Email <input name="email" [(ngModel)]="email"></label>
        <label>Role
          <select name="role" [(ngModel)]="roleId">
            @for (role of roles(); track role.id) { <option [ngValue]="role.id">{{ role.name }}</option> }
          </select>
        </label>
        <button class="main">Add</button>
      </form>
      @if (message()) { <p role="alert">{{ message() }}</p> }
    </section>
    <section class="card">
      <label>Search <input name="search" [ngModel]="search()" (ngModelChange)="search.set($event)"></label>
      <table aria-label="People">
        <thead><tr><th>Name</th><th>Email</th><th>Role</th><th>Orders</th><th></th></tr></thead>
        <tbody>
          @for (person of people(); track person.id) {
            <tr>
              <td><a [routerLink]="['/people', person.id]">{{ person.name }}</a></td>
              <td>{{ person.email }}</td>
              <td>{{ person.role }}</td>
              <td>{{ person.orders }}</td>
              <td><button class="plain" (click)="remove(person.id)" [attr.aria-label]="'Remove ' + person.name">Remove</button></td>
            </tr>
          } @empty {
            <tr><td colspan="5" class="soft">Nobody is here.</td></tr>
          }
        </tbody>
      </table>
    </section>
  `,
})
export class People {
  private readonly api = inject(Api);
  private readonly live = inject(Live);
  protected readonly people = signal<Person[]>([]);
  protected readonly roles = signal<Role[]>([]);
  protected readonly search = signal('');
  protected readonly message = signal('');
  protected name = '';
  protected email = '';
  protected roleId = 3;

  constructor() {
    this.api.roles().subscribe((roles) => this.roles.set(roles));
    effect((onCleanup) => {
      this.live.changes();
      const search = this.search();
      const answer = untracked(() => this.api.people(search).subscribe((people) => this.people.set(people)));
      onCleanup(() => answer.unsubscribe());
    });
  }

  protected async add(): Promise<void> {
    await this.attempt(async () => {
      const person = { name: this.name, email: this.email, roleId: this.roleId };
      await firstValueFrom(this.api.addPerson(person));
      this.name = this.email = '';
    });
  }

  protected async remove(id: number): Promise<void> {
    await this.attempt(() => firstValueFrom(this.api.removePerson(id)));
  }

  private async attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.message.set('');
      this.people.set(await firstValueFrom(this.api.people(this.search())));
    } catch (error) {
      this.message.set(explain(error));
    }
  }
}
