import { describe, expect, it } from 'vitest';
import type { Probe } from '../../../../src/linux/blkid.ts';
import type { BlockDevice } from '../../../../src/linux/block.ts';
import type { Mount } from '../../../../src/linux/mountinfo.ts';
import { type Mounted, viewTree } from '../../../../src/node/media/actual.ts';
import type { MediaFacts } from '../../../../src/node/media/desired.ts';
import { isSameMedium, plan } from '../../../../src/node/media/plan.ts';
import { parsePolicy } from '../../../../src/policy/index.ts';
import { makeBlock } from '../devices/arbitraries.ts';

const stick = makeBlock({ name: 'sdb1', device: '8:17', isPartition: true, model: 'Stick', serial: '0042' });
const fileSystem = { type: 'ext4', usage: 'filesystem', label: 'STICK', uuid: 'ab-cd' };
const probe: Probe = { outcome: 'found', fileSystem };
const OPTIONS = ['rw', 'nosuid', 'nodev', 'relatime', 'errors=remount-ro'];

const facts = (classes = '- {name: usb, match: [{bus: [usb]}]}', more: Partial<MediaFacts> = {}): MediaFacts => ({
  classes: parsePolicy(
    `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\nmediaClasses:\n${classes.replace(/^/gm, '  ')}\n`,
  ).mediaClasses,
  bootSequence: 10,
  use: undefined,
  ...more,
});

const mounted = (more: Partial<Mounted> = {}, record: Partial<Mounted['record']> = {}): Mounted => ({
  className: 'usb',
  directory: 'STICK',
  record: {
    name: 'sdb1',
    device: '8:17',
    sequence: 20,
    fileSystem,
    options: OPTIONS,
    owner: { uid: 1000, gid: 1000 },
    since: '2026-01-01T00:00:00Z',
    ...record,
  },
  main: [{} as Mount],
  twin: [{} as Mount],
  views: [],
  ...more,
});

const reasonFor = (device: BlockDevice, found: Probe | undefined, where = facts()): string | undefined => {
  const step = plan(device, [], found, where);
  return step.do === 'nothing' && step.outcome && 'reason' in step.outcome ? step.outcome.reason : step.do;
};

describe('plan, for a disk that is not mounted', () => {
  it('looks what is on it first, then mounts it', () => {
    expect(plan(stick, [], undefined, facts())).toEqual({ do: 'probe' });
    expect(plan(stick, [], probe, facts())).toMatchObject({
      do: 'mount',
      desired: { className: 'usb', options: OPTIONS },
    });
  });

  it('does not look what is on a disk that no class could want', () => {
    expect(reasonFor({ ...stick, bus: 'ata' }, undefined)).toBe('no_class');
  });

  it('does not look what is on a disk that is in use', () => {
    const use = { kind: 'holders', holders: ['dm-0'] } as const;
    expect(reasonFor(stick, undefined, facts(undefined, { use: () => use }))).toBe('has_holders');
  });

  it('mounts a write-protected disk read-only, without replaying its journal', () => {
    expect(plan({ ...stick, readOnly: true }, [], probe, facts())).toMatchObject({
      desired: { options: ['ro', 'nosuid', 'nodev', 'relatime', 'noload', 'errors=remount-ro'] },
    });
  });

  const boot = { ...stick, removable: false, bus: 'ata', diskSequence: 3 };
  it.each([
    ['a disk without medium', { ...stick, size: 0 }, probe, 'no_medium'],
    ['a disk with partitions', { ...stick, partitions: ['sdb1'] }, probe, 'has_partitions'],
    [
      'LUKS',
      stick,
      { outcome: 'found', fileSystem: { ...fileSystem, type: 'crypto_LUKS', usage: 'crypto' } },
      'encrypted',
    ],
    [
      'LVM',
      stick,
      { outcome: 'found', fileSystem: { ...fileSystem, type: 'LVM2_member', usage: 'raid' } },
      'not_a_file_system',
    ],
    ['an optical drive without a disc', stick, { outcome: 'no-medium' }, 'no_medium'],
    [
      'a file system without known options',
      stick,
      { outcome: 'found', fileSystem: { ...fileSystem, type: 'zonefs' } },
      'file_system_unknown',
    ],
    ['an empty disk', stick, { outcome: 'nothing' }, 'no_file_system'],
    [
      'a part of a ZFS pool',
      stick,
      { outcome: 'found', fileSystem: { ...fileSystem, type: 'zfs_member' } },
      'not_a_file_system',
    ],
    [
      'a table without partitions',
      { ...stick, isPartition: false },
      { outcome: 'nothing', table: 'gpt' },
      'no_partitions',
    ],
    ['an extended partition', stick, { outcome: 'nothing', table: 'dos' }, 'no_file_system'],
    ['several signatures', stick, { outcome: 'ambiguous' }, 'ambiguous'],
    ['an unreadable disk', stick, { outcome: 'failed', detail: 'EIO' }, 'probe_failed'],
    ['a disk that hangs', stick, { outcome: 'hung', stuck: undefined }, 'device_hangs'],
  ] as [string, BlockDevice, Probe, string][])('leaves %s, and says why', (_, device, found, reason) => {
    expect(reasonFor(device, found)).toBe(reason);
  });

  it.each([
    ['crypto_LUKS', 'crypto', 'encrypted'],
    ['LVM2_member', 'raid', 'not_a_file_system'],
    ['apfs', 'filesystem', 'file_system_unknown'],
    ['hfsplus', 'filesystem', 'no_class'],
  ])('says what is on it where no class takes %s', (type, usage, reason) => {
    const found: Probe = { outcome: 'found', fileSystem: { ...fileSystem, type, usage } };
    const outcome = plan(stick, [], found, facts('- {name: usb, match: [{bus: [usb], fsType: [ext4]}]}'));
    expect(outcome).toMatchObject({ outcome: { reason, message: expect.stringContaining(type) } });
  });

  it.each([
    ['', 'partition_type_unread'],
    [', partType: ["*"]', 'mount'],
    [', partType: ["*", "!0xef"]', 'partition_type_unread'],
    [', partType: ["0x83"]', 'partition_type_unread'],
    [', label: [OTHER]', 'no_class'],
  ])('mounts a partition whose type could not be read only where a class takes all (%s)', (match, reason) => {
    const found: Probe = { outcome: 'found', fileSystem: { ...fileSystem, partTypeProblem: 'Input/output error' } };
    expect(reasonFor(stick, found, facts(`- {name: usb, match: [{bus: [usb]${match}}]}`))).toBe(reason);
  });

  it('mounts a disk with partitions where an image of a disc is on it, and nothing to be mounted on them', () => {
    const hybrid = { ...stick, name: 'sdb', isPartition: false, partitions: ['sdb1', 'sdb2'] };
    const iso: Probe = { outcome: 'found', fileSystem: { ...fileSystem, type: 'iso9660' } };
    const empty = facts(undefined, { arePartitionsEmpty: () => true });
    expect(reasonFor(hybrid, undefined)).toBe('has_partitions');
    expect(reasonFor(hybrid, undefined, facts(undefined, { arePartitionsEmpty: () => false }))).toBe('has_partitions');
    expect(reasonFor(hybrid, undefined, empty)).toBe('probe');
    expect(reasonFor(hybrid, iso, empty)).toBe('mount');
    // Left over from before the disk had partitions.
    expect(reasonFor(hybrid, probe, empty)).toBe('has_partitions');
    expect(reasonFor(hybrid, { outcome: 'nothing' }, empty)).toBe('has_partitions');
  });

  it('opens an empty drive that a class could take, once, for only then the kernel reads what was pushed in', () => {
    const empty = { ...stick, name: 'sdb', isPartition: false, size: 0, removable: true };
    expect(reasonFor(empty, undefined, facts('- {name: usb, match: [{bus: [usb], minSize: 1Gi}]}'))).toBe('probe');
    expect(reasonFor(empty, { outcome: 'no-medium' })).toBe('no_medium');
    expect(reasonFor({ ...empty, bus: 'ata' }, undefined)).toBe('no_medium');
    expect(reasonFor({ ...empty, removable: false }, undefined)).toBe('no_medium');
    expect(reasonFor({ ...empty, isPartition: true }, undefined)).toBe('no_medium');
    expect(reasonFor(empty, undefined, facts(undefined, { rawClass: () => 'raw' }))).toBe('no_medium');
  });

  it('takes a fixed disk that was there before only where the class says so', () => {
    const fixed = '- {name: any, match: [{bus: [ata]}]}';
    expect(reasonFor(boot, probe, facts(fixed))).toBe('fixed_disk');
    expect(reasonFor(boot, probe, facts('- {name: any, match: [{bus: [ata], removable: false}]}'))).toBe('mount');
    expect(reasonFor({ ...boot, diskSequence: 11 }, probe, facts(fixed))).toBe('mount');
    expect(reasonFor({ ...boot, removable: true }, probe, facts(fixed))).toBe('mount');
  });

  it.each([
    ['serial: ["0042"]', 'mount'],
    ['serial: ["43*"]', 'no_class'],
    ['vendor: [ACME], model: ["St*"]', 'mount'],
    ['label: [OTHER]', 'no_class'],
    ['fsType: [vfat]', 'no_class'],
    ['minSize: 64Mi, maxSize: 64Mi', 'mount'],
    ['minSize: 65Mi', 'no_class'],
    ['devname: ["sd*"], removable: true', 'mount'],
    ['removable: false', 'no_class'],
  ])('matches all of %s: %s', (match, outcome) => {
    expect(reasonFor(stick, probe, facts(`- {name: usb, match: [{${match}}]}`))).toBe(outcome);
  });
});

describe('plan, for a disk that is mounted', () => {
  it.each([
    ['has nothing to do where all is as it should be', stick, mounted(), 'nothing', undefined],
    ['makes the twin that is missing', stick, mounted({ twin: [] }), 'make-twin', undefined],
    ['unmounts what has gone', undefined, mounted(), 'unmount', true],
    ['unmounts a medium that was taken out', { ...stick, size: 0 }, mounted(), 'unmount', true],
    ['unmounts a medium that was exchanged', { ...stick, diskSequence: 21 }, mounted(), 'unmount', true],
    ['unmounts a device that has become another', { ...stick, device: '8:33' }, mounted(), 'unmount', true],
    ['unmounts what has other options now', stick, mounted({}, { options: ['ro'] }), 'unmount', false],
    ['unmounts what belongs to another class now', stick, mounted({ className: 'old' }), 'unmount', false],
    ['unmounts what has another name now', stick, mounted({ directory: 'OTHER' }), 'unmount', false],
    ['unmounts what is there twice', stick, mounted({ main: [{} as Mount, {} as Mount] }), 'unmount', false],
    ['keeps the name that it had to take', stick, mounted({ directory: 'STICK-ab-cd' }), 'nothing', undefined],
  ] as const)('%s', (_, device, now, step, gone) => {
    expect(plan(device, [now], undefined, facts())).toMatchObject({
      do: step,
      ...(gone === undefined ? {} : { gone }),
    });
  });

  it('shows it to the pods with users of their own that have its class and do not see it, once it has a twin', () => {
    const mapping = { uids: [], gids: [] };
    const tree = (podUid: string) => ({ podUid, tree: viewTree(podUid, 'media'), mapping });
    const podTrees = (className: string) => (className === 'usb' ? [tree('a'), tree('b'), tree('c')] : []);
    const views = [{ tree: viewTree('b', 'media'), mount: {} as Mount }];
    const next = (now: Mounted, trees = podTrees) =>
      plan(stick, [now], undefined, facts(undefined, { podTrees: trees }));
    expect(next(mounted({ views }))).toMatchObject({ do: 'show', to: [tree('a'), tree('c')] });
    expect(next(mounted({ views, twin: [] })).do).toBe('make-twin');
    expect(next(mounted({ views }, { options: ['ro'] })).do).toBe('unmount');
    // That of a pod that has ended goes with the pod's directory.
    expect(next(mounted({ views }), () => []).do).toBe('nothing');
  });

  it('unmounts what is left of it in a pod after the disk was unmounted elsewhere', () => {
    const views = [{ tree: viewTree('b', 'media'), mount: {} as Mount }];
    expect(plan(stick, [mounted({ main: [], twin: [], views })], undefined, facts()).do).toBe('unmount');
  });

  it('unmounts the second place of a disk that is mounted in two', () => {
    const second = mounted({ directory: 'STICK-ab-cd' });
    expect(plan(stick, [mounted(), second], undefined, facts())).toEqual({
      do: 'unmount',
      mounted: second,
      gone: false,
    });
  });
});

describe('what was found out about a disk', () => {
  it('holds for the medium that it was found out about, and for none that came by the same name', () => {
    expect(isSameMedium(stick, { ...stick })).toBe(true);
    expect(isSameMedium(stick, { ...stick, diskSequence: (stick.diskSequence ?? 0) + 1 })).toBe(false);
    expect(isSameMedium(stick, { ...stick, device: '8:160' })).toBe(false);
    expect(isSameMedium(stick, { ...stick, size: 0 })).toBe(false);
    expect(isSameMedium(stick, undefined)).toBe(false);
  });
});
