import { describe, expect, it } from 'vitest';
import type { GrantOutcome } from '../../../../src/linux/device-cgroup/index.ts';
import { refuse } from '../../../../src/linux/device-cgroup/reasons.ts';
import { GrantAudit } from '../../../../src/node/devices/audit.ts';
import type { DesiredGrant } from '../../../../src/node/devices/desired-grants.ts';
import type { Logger } from '../../../../src/observability/logger.ts';
import { makeClass, makeDevice } from './arbitraries.ts';

/** There is no such directory: what is to be written on it goes nowhere. */
const CGROUP = '/nowhere/pod/container';
const GRANTED: GrantOutcome = { state: 'granted' };
const REVOKE_FAILED = refuse('revoke_failed', { detail: 'ENOMEM' });
const GRANT_FAILED = refuse('grant_failed', { detail: 'ENOMEM' });
const RESTRICTED = refuse('parent_restricts', { parent: '/nowhere/pod' });

const entitlement: DesiredGrant = {
  cgroup: CGROUP,
  node: { path: 'usb/ttyUSB0', device: makeDevice(), deviceClass: makeClass('usb', [{ bus: ['usb'] }]) },
};

/** A ledger, and what of each change of access it has told. */
function makeLedger() {
  const told: string[] = [];
  const tell = (...args: unknown[]) => {
    const text = args.at(-1) as string;
    told.push(/^access to a device (granted|taken back|not granted)/.exec(text)?.[1] ?? text);
  };
  const ledger = new GrantAudit({ info: tell, error: tell } as unknown as Logger);
  const update = (is: boolean, ...outcomes: [string, GrantOutcome][]): string[] => {
    ledger.update(is ? [entitlement] : [], new Map(outcomes));
    return told.splice(0);
  };
  return { ledger, update };
}

describe('the log of who has what', () => {
  it('says each change once', () => {
    const { update } = makeLedger();
    expect(update(true, [CGROUP, GRANTED])).toEqual(['granted']);
    expect(update(true, [CGROUP, GRANTED])).toEqual([]);
    expect(update(false)).toEqual(['taken back']);
    expect(update(false)).toEqual([]);
  });

  it.each([CGROUP, '/nowhere/pod'])('does not say that it was taken back while that fails at %s', (where) => {
    const { ledger, update } = makeLedger();
    update(true, [CGROUP, GRANTED]);
    expect(update(false, [where, REVOKE_FAILED])).toEqual([REVOKE_FAILED.message]);
    expect(ledger.isUnsettled).toBe(true);
    expect(update(false, [where, REVOKE_FAILED])).toEqual([]);
    expect(update(false)).toEqual(['taken back']);
    expect(ledger.isUnsettled).toBe(false);
  });

  it('does not say that it was given anew where it was never taken back', () => {
    const { update } = makeLedger();
    update(true, [CGROUP, GRANTED]);
    expect(update(true, [CGROUP, GRANT_FAILED])).toEqual(['not granted']);
    expect(update(true, [CGROUP, GRANTED])).toEqual([]);
  });

  it('says that it was taken back where something came to forbid it', () => {
    const { ledger, update } = makeLedger();
    update(true, [CGROUP, GRANTED]);
    expect(update(true, [CGROUP, RESTRICTED])).toEqual(['not granted', 'taken back']);
    expect(ledger.isUnsettled, 'to try it again is no use').toBe(false);
  });

  it('goes on from what earlier daemons have granted, however often it is told of that', () => {
    const { ledger, update } = makeLedger();
    const inherit = () =>
      ledger.inherit(new Map([[CGROUP, [{ type: 'char', major: 188, minor: 0, access: 'rw' } as const]]]));
    inherit();
    expect(update(true, [CGROUP, GRANTED])).toEqual([]);
    inherit();
    expect(update(true, [CGROUP, GRANTED])).toEqual([]);
    inherit();
    expect(update(false, [CGROUP, REVOKE_FAILED])).toEqual([REVOKE_FAILED.message]);
    expect(update(false).every((line) => line === 'taken back')).toBe(true);
  });

  it('has refusals begin when they began, and not when it was granted', async () => {
    const { ledger, update } = makeLedger();
    const since = () => [...ledger.grants][0]?.since ?? '';
    update(true, [CGROUP, GRANTED]);
    const granted = since();
    await expect.poll(() => new Date().toISOString()).not.toBe(granted);
    update(true, [CGROUP, RESTRICTED]);
    expect(since() > granted).toBe(true);
  });
});
