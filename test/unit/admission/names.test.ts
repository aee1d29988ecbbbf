import { expect, it } from 'vitest';
import { serviceNames } from '../../../src/admission/certificates/server-names.ts';
import { parseServiceName } from '../../../src/contract/object-name.ts';

it('reads NAMESPACE/NAME and nothing else', () => {
  expect(parseServiceName('hotmount/webhook')).toEqual({ namespace: 'hotmount', name: 'webhook' });
  for (const text of ['webhook', 'a/b/c', '/b', 'a/', 'A/b', 'a/b.c', 'a/-b', '', `a/${'b'.repeat(64)}`]) {
    expect(parseServiceName(text)).toBeUndefined();
  }
});

it('names a Service first as API servers ask for it', () => {
  expect(serviceNames({ namespace: 'hotmount', name: 'webhook' })[0]).toBe('webhook.hotmount.svc');
});
