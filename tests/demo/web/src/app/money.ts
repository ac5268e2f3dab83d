import { Pipe, PipeTransform } from '@angular/core';

@Pipe({ name: 'money' })
export class Money implements PipeTransform {
  transform(cents: number | null): string {
    return cents === null ? '–' : `€ ${(cents / 100).toFixed(2)}`;
  }
}
