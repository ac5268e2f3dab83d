import { Component, inject, signal } from '@angular/core';
import { FormsModule } from '@angular/forms';
import { firstValueFrom } from 'rxjs';
import { Api, Role, explain } from '../api';

@Component({
  imports: [FormsModule],
  template: `
    <h1>Roles <span class="soft" data-testid="count">{{ roles().length }}</span></h1>
    <section class="card">
      <form (ngSubmit)="add()">
        <label>New role <input name="name" [(ngModel)]="name"></label>
        <button class="main">Add</button>
      </form>
      @if (message()) { <p role="alert">{{ message() }}</p> }
    </section>
    <section class="card">
      <table aria-label="Roles">
        <thead><tr><th>Name</th><th>People</th><th></th></tr></thead>
        <tbody>
          @for (role of roles(); track role.id) {
            <tr>
              <td>
                @if (renamed() === role.id) {
                  <form (ngSubmit)="rename(role.id)">
                    <input name="newName" aria-label="New name" [(ngModel)]="newName"><button>Save</button>
                  </form>
                } @else {
                  {{ role.name }}
                }
              </td>
              <td>{{ role.people }}</td>
              <td>
                <button class="plain" (click)="edit(role)" [attr.aria-label]="'Rename ' + role.name">Rename</button>
                <button class="plain" (click)="remove(role.id)" [attr.aria-label]="'Remove ' + role.name">Remove</button>
              </td>
            </tr>
          }
        </tbody>
      </table>
    </section>
  `,
})
export class Roles {
  private readonly api = inject(Api);
  protected readonly roles = signal<Role[]>([]);
  protected readonly renamed = signal<number | null>(null);
  protected readonly message = signal('');
  protected name = '';
  protected newName = '';

  constructor() {
    void this.attempt(async () => undefined);
  }

  protected edit(role: Role): void {
    this.newName = role.name;
    this.renamed.set(role.id);
  }

  protected async add(): Promise<void> {
    await this.attempt(() => firstValueFrom(this.api.addRole(this.name)));
    this.name = '';
  }

  protected async rename(id: number): Promise<void> {
    await this.attempt(() => firstValueFrom(this.api.renameRole(id, this.newName)));
    this.renamed.set(null);
  }

  protected async remove(id: number): Promise<void> {
    await this.attempt(() => firstValueFrom(this.api.removeRole(id)));
  }

  private async attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.message.set('');
      this.roles.set(await firstValueFrom(this.api.roles()));
    } catch (error) {
      this.message.set(explain(error));
    }
  }
}
