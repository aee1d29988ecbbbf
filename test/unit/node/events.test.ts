import { expect, it } from 'vitest';
import { concernedBy } from '../../../src/node/events.ts';

const event = (action: string, env: Record<string, string> = {}) => ({
  action,
  devpath: '/devices/x/block/sdx/sdx1',
  subsystem: 'block',
  env: { DEVTYPE: 'partition', DEVNAME: 'sdx1', MAJOR: '8', MINOR: '1', ...env },
});

it('a disk has just been made where the kernel says so of itself, and not where udevadm trigger has it say so', () => {
  expect(concernedBy(event('add'))).toMatchObject({ disks: ['sdx1', 'sdx'], added: 'sdx1' });
  expect(concernedBy(event('add', { SYNTH_UUID: '0' })).added).toBeUndefined();
  expect(concernedBy(event('change')).added).toBeUndefined();
});
