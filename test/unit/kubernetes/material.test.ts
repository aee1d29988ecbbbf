import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  readMaterial,
  rotateProblem,
  stateOf,
  takeStep,
  trusted,
  writeMaterial,
} from '../../../src/kubernetes/certificates/material.ts';

const names = ['hotmount-webhook.hotmount.svc', 'hotmount-webhook.hotmount'];
const now = Date.now();
const first = await takeStep('replace_ca', readMaterial({}), { now, names });
const secret = writeMaterial(
  { metadata: { name: 'tls', annotations: { mine: 'too' } }, data: { other: 'eA==' } },
  first,
);

describe('certificates in a Secret', () => {
  test('are read as they were written, beside what is not ours', () => {
    const read = readMaterial(secret);
    expect(read.leaf?.cert).toBe(first.leaf?.cert);
    expect(read.ca?.key).toBe(first.ca?.key);
    expect(writeMaterial(secret, read)).toEqual(secret);
    expect(secret.data?.['other']).toBe('eA==');
    expect(secret.metadata?.annotations?.['mine']).toBe('too');
  });

  test('have a leaf for the Service, of the CA', () => {
    expect(stateOf(first, names).leaf).toMatchObject({ signedByCa: true, namesMatch: true });
    expect(stateOf(first, ['another.svc']).leaf?.namesMatch).toBe(false);
    expect(new X509Certificate(first.leaf?.cert ?? '').publicKey.asymmetricKeyType).toBe('ec');
  });

  test('are written without a wish that was granted, and with one that nobody understands', () => {
    const asking = (rotate: string) => ({ ...secret, metadata: { annotations: { 'hotmount.io/rotate': rotate } } });
    const granted = { ...readMaterial(asking('ca')), rotate: undefined };
    expect(writeMaterial(asking('ca'), granted).metadata?.annotations).toEqual({});
    expect(rotateProblem(asking('ca'))).toBeUndefined();
    expect(writeMaterial(asking('CA'), readMaterial(asking('CA')))).toEqual(asking('CA'));
    expect(rotateProblem(asking('CA'))).toBe('the annotation hotmount.io/rotate is "CA"; expected "ca" or "leaf"');
  });

  test('keep two CAs trusted while one takes over from the other', async () => {
    const introduced = await takeStep('introduce_next_ca', first, { now, names });
    expect(introduced.leaf).toBe(first.leaf);
    const promoted = await takeStep('promote_next_ca', introduced, { now, names });
    expect(stateOf(promoted, names).leaf?.signedByCa).toBe(true);
    expect(certificates(trusted(introduced))).toEqual([first.ca?.cert, introduced.next?.cert]);
    expect(certificates(trusted(promoted))).toEqual([introduced.next?.cert, first.ca?.cert]);
    const pruned = await takeStep('prune_old_ca', promoted, { now, names });
    expect(certificates(trusted(pruned))).toEqual([introduced.next?.cert]);
    // By way of the Secret, times included.
    expect(readMaterial(writeMaterial(secret, promoted)).old?.since).toBe(now);
  });

  test.each([
    ['nothing', {}],
    ['garbage', { 'tls.crt': 'garbage', 'tls.key': 'garbage', 'ca.crt': 'garbage' }],
    ['the key of another', { ...secret.data, 'tls.key': secret.data?.['ca.key'] ?? '' }],
  ])('are not there where the Secret holds %s', (_, data) => {
    expect(readMaterial({ data }).leaf).toBeUndefined();
  });
});

const certificates = (pem: string): string[] => pem.match(/-----BEGIN[\s\S]+?END CERTIFICATE-----\n/g) ?? [];
