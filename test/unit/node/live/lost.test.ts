import { expect, it } from 'vitest';
import { hasLost } from '../../../../src/node/live/lost.ts';

const UID = '9f0c1c1e-0000-4000-8000-000000000001';
const hotmount = (root: string, device = '0:30'): string =>
  `40 36 ${device} ${root} /hotmount ro master:9 - tmpfs hotmount rw\n41 36 8:1 / /data rw - ext4 /dev/sda1 rw`;
const hasIt = (table: string): boolean => hasLost(table, '0:30', UID);

it('a container has a lost directory where that was removed, or is of an earlier run dir', () => {
  expect(hasIt(hotmount(`/live/${UID}//deleted`))).toBe(true);
  expect(hasIt(hotmount(`/live/${UID}`, '0:31'))).toBe(true);
});

it('a container has no lost directory where it has the one that is there, another pod’s, or one that is not hotmount’s', () => {
  expect(hasIt(hotmount(`/live/${UID}`))).toBe(false);
  expect(hasIt(hotmount(`/live/${UID}2//deleted`))).toBe(false);
  expect(hasIt(hotmount(`/live/${UID}/media`, '0:31'))).toBe(false);
  expect(hasIt(hotmount(`/live/${UID}`, '0:31').replace('tmpfs hotmount', 'tmpfs theirs'))).toBe(false);
  expect(hasIt('')).toBe(false);
});
