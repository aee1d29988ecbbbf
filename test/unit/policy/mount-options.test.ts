import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mountOptions } from '../../../src/policy/index.ts';
import { FILE_SYSTEM_NAMES, FILE_SYSTEMS, ignoredBy, optionProblem } from '../../../src/policy/mount-options.ts';

const plain = { readOnly: false, options: [] };

describe('what a file system is mounted with', () => {
  it.each(FILE_SYSTEM_NAMES)('%s: nosuid, nodev and relatime, before all else', (fsType) => {
    expect(mountOptions(fsType, plain).slice(1, 4)).toEqual(['nosuid', 'nodev', 'relatime']);
    expect(mountOptions(fsType, { ...plain, readOnly: true })[0]).toBe('ro');
  });

  it('ext: errors=remount-ro, for a stick could ask for a panic', () => {
    for (const fsType of ['ext2', 'ext3', 'ext4']) expect(mountOptions(fsType, plain)).toContain('errors=remount-ro');
  });

  it('vfat, exfat, ntfs: open to the pod, unless the class says whose files they are', () => {
    expect(mountOptions('vfat', plain)).toEqual([
      ...['rw', 'nosuid', 'nodev', 'relatime', 'umask=000', 'utf8', 'flush', 'quiet'],
    ]);
    expect(mountOptions('exfat', { ...plain, options: ['umask=027', 'uid=1000'] })).toEqual([
      ...['rw', 'nosuid', 'nodev', 'relatime', 'umask=027', 'uid=1000'],
    ]);
  });

  it('a class’s owner and mode, where they are not on the disk', () => {
    const mount = { ...plain, owner: { uid: 1000, gid: 100 }, mode: 0o750 };
    expect(mountOptions('exfat', mount).slice(4)).toEqual(['uid=1000', 'gid=100', 'umask=027']);
    expect(mountOptions('iso9660', mount).slice(4)).toEqual(['uid=1000', 'gid=100', 'mode=750', 'dmode=750']);
    expect(mountOptions('vfat', { ...mount, options: ['uid=5', 'umask=022'] }).slice(4)).toEqual([
      ...['utf8', 'flush', 'quiet', 'gid=100', 'uid=5', 'umask=022'],
    ]);
    expect(mountOptions('ext4', mount)).toEqual(mountOptions('ext4', plain));
  });

  it('read-only, without replaying a journal', () => {
    const readOnly = { ...plain, readOnly: true };
    expect(mountOptions('ext4', readOnly)).toContain('noload');
    expect(mountOptions('xfs', readOnly)).toContain('norecovery');
    expect(mountOptions('btrfs', readOnly)).toContain('rescue=nologreplay');
    expect(mountOptions('ext4', plain)).not.toContain('noload');
  });

  it('file systems that cannot be written: read-only', () => {
    expect(['squashfs', 'erofs', 'iso9660'].map((fsType) => mountOptions(fsType, plain)[0])).toEqual([
      'ro',
      'ro',
      'ro',
    ]);
  });

  it('the class’s options, where the file system has them', () => {
    const mount = { readOnly: false, options: ['noexec', 'uid=1000', 'noatime', 'nosuid'] };
    expect(mountOptions('ext4', mount)).toEqual(['rw', 'nosuid', 'nodev', 'errors=remount-ro', 'noexec', 'noatime']);
    expect(mountOptions('vfat', mount)).toContain('uid=1000');
    expect(ignoredBy('uid=1000', ['ext4', 'vfat'])).toEqual(['ext4']);
    expect(ignoredBy('nosuid', ['ext4', 'vfat'])).toEqual([]);
  });

  it('nothing, where hotmount does not know the file system', () => {
    expect(() => mountOptions('swap', plain)).toThrow(RangeError);
    expect(() => mountOptions('constructor', plain)).toThrow(RangeError);
  });
});

describe('a mount option', () => {
  const forbidden = [
    ...[
      'suid',
      'dev',
      'exec',
      'user',
      'users',
      'user=joe',
      'owner',
      'group',
      'defaults',
      'remount',
      'ro',
      'rw',
      'loop',
    ],
    ...['strictatime', 'norelatime', 'errors=panic', 'errors=continue', 'device=/dev/sda', 'logdev=/dev/sda'],
    ...[
      'journal_path=/dev/sda',
      'journal_dev=8',
      'helper=x',
      'x-systemd.automount',
      'bind',
      'shared',
      'allow_other',
      '',
    ],
    ...[
      'noexec,suid',
      'noexec=1',
      'noexec=',
      'uid',
      'uid=',
      'uid=-1',
      'uid=0x1',
      'umask=999',
      'umask=07777',
      'subvol=',
      'constructor',
    ],
    ...[
      'iocharset=utf8,suid',
      'iocharset=../x y',
      'uid=1\nsuid',
      'NOEXEC',
      ' noexec',
      'nosuid=',
      '__proto__',
      'context=a b',
    ],
  ];
  it.each(forbidden)('%j is refused for every file system', (option) => {
    for (const fsType of FILE_SYSTEM_NAMES) {
      expect(optionProblem(option, [fsType]), fsType).toBeTypeOf('string');
      expect(mountOptions(fsType, { readOnly: false, options: [option] })).toEqual(mountOptions(fsType, plain));
    }
  });

  it.each([
    'noexec',
    'sync',
    'nosymfollow',
    'noatime',
    'nosuid',
    'nodev',
    'relatime',
    'context=system_u:object_r:x_t:s0',
  ])('%s is allowed for every file system', (option) => {
    for (const fsType of FILE_SYSTEM_NAMES) expect(optionProblem(option, [fsType]), fsType).toBeUndefined();
  });

  it('that is in force anyway may be repeated', () => {
    expect(optionProblem('errors=remount-ro', ['ext4'])).toBeUndefined();
    expect(optionProblem('errors=remount-ro', ['vfat'])).toContain('always errors=remount-ro on ext');
  });
});

describe('properties', () => {
  const known = FILE_SYSTEM_NAMES.flatMap((fsType) => Object.keys(FILE_SYSTEMS[fsType]?.allowed ?? {}));
  const word = fc.oneof(
    fc.constantFrom(...known, 'noexec', 'suid', 'dev', 'exec', 'rw', 'nosuid', 'user', 'errors', 'remount', 'umask'),
    fc.string({ maxLength: 6 }),
  );
  const option = fc
    .tuple(word, fc.option(fc.oneof(word, fc.constantFrom('0', '077', 'panic', 'a,suid', '/dev/sda'))))
    .map(([key, value]) => (value === null ? key : `${key}=${value}`));

  it('no list of options takes away what is always in force, or brings in what could harm the node', () => {
    const lists = fc.array(option, { maxLength: 5 });
    fc.assert(
      fc.property(fc.constantFrom(...FILE_SYSTEM_NAMES), lists, fc.boolean(), (fsType, options, readOnly) => {
        // As mount(8) reads it: one text, split at its commas.
        const mounted = mountOptions(fsType, { readOnly, options }).join(',').split(',');
        expect(mounted).toEqual(expect.arrayContaining(['nosuid', 'nodev', readOnly ? 'ro' : mounted[0]]));
        expect(
          mounted.some((o) =>
            /^(suid|dev|exec|users?|owner|group|remount|device|logdev|errors=(?!remount-ro$))/.test(o),
          ),
        ).toBe(false);
        expect(mounted.filter((o) => o === 'rw' || o === 'ro')).toHaveLength(1);
        expect(new Set(mounted).size).toBe(mounted.length);
      }),
      { numRuns: 3_000 },
    );
  });

  it('an option without a problem is used for at least one of the file systems, and the others are told apart', () => {
    const some = fc.subarray([...FILE_SYSTEM_NAMES], { minLength: 1 });
    fc.assert(
      fc.property(some, option, (fsTypes, given) => {
        fc.pre(optionProblem(given, fsTypes) === undefined);
        const users = fsTypes.filter((fsType) => !ignoredBy(given, fsTypes).includes(fsType));
        expect(users.length).toBeGreaterThan(0);
        for (const fsType of users) {
          const mounted = mountOptions(fsType, { readOnly: false, options: [given] });
          expect(mounted.includes(given) || given === 'relatime').toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
