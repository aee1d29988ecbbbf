import { describe, expect, it } from 'vitest';
import { dirtOf } from '../../../../src/node/media/dirt.ts';

const HIBERNATED = 'Windows is hibernated, refused to mount.\nFalling back to read-only mount because …';

describe('a dirty disk', () => {
  it.each([
    ['ntfs', '', ['ntfs3: sdb1: volume is dirty and "force" flag is not set!'], true],
    ['ntfs', HIBERNATED, [], true],
    [
      'vfat',
      '',
      ['FAT-fs (sdb1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.'],
      false,
    ],
    [
      'exfat',
      '',
      ['exFAT-fs (sdb1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.'],
      false,
    ],
    ['ext4', '', ['EXT4-fs (sdb1): warning: mounting fs with errors, running e2fsck is recommended'], false],
    ['ext4', '', ["EXT4-fs (sdb1): couldn't mount RDWR because of unsupported optional features (40000000)"], true],
    ['xfs', '', ['XFS (sdb1): Superblock has unknown read-only compatible features (0x40000000) enabled.'], true],
    [
      'btrfs',
      '',
      ['BTRFS error (device sdb1): cannot mount read-write because of unknown compat_ro features (0x800)'],
      true,
    ],
  ] as const)('%s is told by what was said', (type, stderr, said, isUnwritable) => {
    expect(dirtOf(type, stderr, said)).toMatchObject({ isUnwritable });
  });

  it.each([
    ['vfat', 'dirty', ['FAT-fs (sdb1): utf8 is not a recommended IO charset for FAT filesystems']],
    ['ext4', '', ['EXT4-fs (sdb1): mounted filesystem r/w with ordered data mode. Quota mode: none.']],
    ['ext4', '', ['EXT4-fs (sdb1): recovery complete']],
    ['xfs', '', ['XFS (sdb1): Starting recovery (logdev: internal)']],
  ] as const)('is no %s that the kernel has mended or has other words for', (type, stderr, said) => {
    expect(dirtOf(type, stderr, said)).toBeUndefined();
  });
});
