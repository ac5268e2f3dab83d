import { Component, inject, signal } from '@angular/core';
import { firstValueFrom } from 'rxjs';
import { API, Api, Upload, explain } from '../api';

@Component({
  template: `
    <h1>Files <span class="soft" data-testid="count">{{ uploads().length }}</span></h1>
    <section class="card">
      <label>Upload a file <input type="file" (change)="upload($any($event.target))"></label>
      @if (message()) { <p role="alert">{{ message() }}</p> }
    </section>
    <section class="card">
      <table aria-label="Files">
        <thead><tr><th>Name</th><th>Type</th><th>Bytes</th><th></th></tr></thead>
        <tbody>
          @for (upload of uploads(); track upload.id) {
            <tr>
              <td><a [href]="api + '/api/uploads/' + upload.id" download>{{ upload.fileName }}</a></td>
              <td>{{ upload.contentType }}</td>
              <td>{{ upload.size }}</td>
              <td><button class="plain" (click)="remove(upload.id)" [attr.aria-label]="'Remove ' + upload.fileName">Remove</button></td>
            </tr>
          } @empty {
            <tr><td colspan="4" class="soft">No files yet.</td></tr>
          }
        </tbody>
      </table>
    </section>
  `,
})
export class Files {
  private readonly client = inject(Api);
  protected readonly api = API;
  protected readonly uploads = signal<Upload[]>([]);
  protected readonly message = signal('');

  constructor() {
    void this.attempt(async () => undefined);
  }

  protected async upload(input: HTMLInputElement): Promise<void> {
    const file = input.files?.[0];
    if (file) {
      await this.attempt(() => firstValueFrom(this.client.upload(file)));
      input.value = '';
    }
  }

  protected async remove(id: number): Promise<void> {
    await this.attempt(() => firstValueFrom(this.client.removeUpload(id)));
  }

  private async attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.message.set('');
      this.uploads.set(await firstValueFrom(this.client.uploads()));
    } catch (error) {
      this.message.set(explain(error));
    }
  }
}
