import { describe, expect, it } from 'vitest';
import { mountArguments } from '../../../src/linux/mount-child.ts';
import { mountOptions } from '../../../src/policy/index.ts';

describe('options of mount(8), for mount(2)', () => {
  it.each([
    ['vfat', ['noexec', 'noatime'], 0x2 | 0x4 | 0x8 | 0x400, 'umask=000,utf8,flush,quiet'],
    ['ext4', ['lazytime', 'commit=5'], 0x2 | 0x4 | 0x200000 | 0x2000000, 'errors=remount-ro,commit=5'],
    ['xfs', ['sync', 'dirsync', 'nosymfollow'], 0x2 | 0x4 | 0x200000 | 0x10 | 0x80 | 0x100, 'nouuid'],
    ['squashfs', ['nodiratime'], 0x1 | 0x2 | 0x4 | 0x200000 | 0x800, ''],
  ])('of %s are flags, and what is the file system’s own', (type, options, flags, data) => {
    expect(mountArguments(mountOptions(type, { readOnly: false, options }))).toEqual({ flags, data });
  });
});
