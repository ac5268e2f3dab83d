import { Injectable, signal } from '@angular/core';
import { HubConnection, HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { API } from './api';

export interface LiveEvent { road: 'hub' | 'stream'; type: string; text: string; }

const streamTypes = [
  'hello', 'person-created', 'person-updated', 'person-deleted', 'person-expired',
  'order-created', 'order-cancelled', 'order-processed',
];
const kept = 200;

/** What happens on the server, over both roads: SignalR (a WebSocket) and server-sent events. */
@Injectable({ providedIn: 'root' })
export class Live {
  readonly events = signal<LiveEvent[]>([]);
  readonly hubState = signal<'connecting' | 'connected' | 'closed'>('closed');
  readonly streamState = signal<'connecting' | 'connected' | 'closed'>('closed');
  /** Counts up with each change of a row on the server. */
  readonly changes = signal(0);

  private hub?: HubConnection;
  private stream?: EventSource;

  start(): void {
    if (this.hub) {
      return;
    }
    this.openHub();
    this.openStream();
  }

  async stop(): Promise<void> {
    this.stream?.close();
    this.streamState.set('closed');
    await this.hub?.stop();
    this.hub = this.stream = undefined;
  }

  async say(text: string): Promise<void> {
    await this.hub?.invoke('Say', text);
  }

  private openHub(): void {
    const hub = new HubConnectionBuilder()
      .withUrl(`${API}/hub`)
      .withAutomaticReconnect()
      .configureLogging(LogLevel.Warning)
      .build();
    hub.on('UserJoined', (user: string) => this.add('hub', 'joined', user));
    hub.on('UserLeft', (user: string) => this.add('hub', 'left', user));
    hub.on('Said', (user: string, text: string) => this.add('hub', 'said', `${user}: ${text}`));
    hub.on('Changed', (type: string, id: number) => {
      this.add('hub', type, String(id));
      this.changes.update((count) => count + 1);
    });
    hub.onreconnecting(() => this.hubState.set('connecting'));
    hub.onreconnected(() => this.hubState.set('connected'));
    hub.onclose(() => this.hubState.set('closed'));
    this.hub = hub;
    this.hubState.set('connecting');
    hub.start().then(() => this.hubState.set('connected'), () => this.hubState.set('closed'));
  }

  private openStream(): void {
    const stream = new EventSource(`${API}/api/events`, { withCredentials: true });
    this.streamState.set('connecting');
    stream.onopen = () => this.streamState.set('connected');
    stream.onerror = () => this.streamState.set('connecting');
    for (const type of streamTypes) {
      stream.addEventListener(type, (event) => this.add('stream', type, event.data));
    }
    this.stream = stream;
  }

  private add(road: LiveEvent['road'], type: string, text: string): void {
    this.events.update((events) => [{ road, type, text }, ...events].slice(0, kept));
  }
}
