import { Component, inject } from '@angular/core';
import { FormsModule } from '@angular/forms';
import { Live } from '../live';

@Component({
  imports: [FormsModule],
  styles: `
    .state { display: flex; gap: .75rem; margin-bottom: 1rem; }
    ol { list-style: none; padding: 0; margin: 0; }
    li { display: flex; gap: .75rem; padding: .4rem 0; border-bottom: 1px solid var(--line); }
    li:last-child { border: 0; }
    .road { width: 4.5rem; text-align: center; align-self: center; }
    .type { width: 10rem; }
  `,
  template: `
    <h1>Live events</h1>
    <p class="state">
      <span class="badge" [class.connected]="live.hubState() === 'connected'">hub {{ live.hubState() }}</span>
      <span class="badge" [class.connected]="live.streamState() === 'connected'">stream {{ live.streamState() }}</span>
    </p>
    <section class="card">
      <form (ngSubmit)="say()">
        <label>Message to all <input name="text" [(ngModel)]="text"></label>
        <button class="main" [disabled]="live.hubState() !== 'connected'">Send</button>
      </form>
    </section>
    <section class="card">
      <ol aria-label="Events">
        @for (event of live.events(); track $index) {
          <li><span class="badge road">{{ event.road }}</span><span class="type">{{ event.type }}</span><span>{{ event.text }}</span></li>
        } @empty {
          <li class="soft">Nothing happened yet.</li>
        }
      </ol>
    </section>
  `,
})
export class Events {
  protected readonly live = inject(Live);
  protected text = '';

  protected async say(): Promise<void> {
    await this.live.say(this.text);
    this.text = '';
  }
}
