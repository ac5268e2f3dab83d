import { expect, test } from '@playwright/test';
import { addPerson, people } from '../support';

test('Dora joins', async ({ request }) => {
  expect((await addPerson(request, 'Dora')).id).toBe(4);
});

test('Emil joins after her', async ({ request }) => {
  await addPerson(request, 'Emil');
  expect((await people(request)).at(-1)?.name).toBe('Emil');
});
