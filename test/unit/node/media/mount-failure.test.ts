import { describe, expect, it } from 'vitest';
import { linesAbout, parseRecord } from '../../../../src/linux/kernel-log.ts';
import { explainFailure } from '../../../../src/node/media/mount-failure.ts';

const STDERR =
  'mount: /proc/4711/fd/28: wrong fs type, bad option, bad superblock on /proc/4711/fd/27, missing codepage or helper program, or other error.\n       dmesg(1) may have more information after failed mount system call.\n';

describe('why a disk could not be mounted', () => {
  it('is told without paths that mean nothing, and in the words of the kernel', () => {
    const said = ["XFS (sdb1): Filesystem has duplicate UUID 1 - can't mount"];
    const text = explainFailure('mount', 32, STDERR, 'xfs', said);
    expect(text).toMatch(
      /^wrong fs type, bad option, bad superblock on it, missing .*; the kernel said "XFS \(sdb1\): /,
    );
    expect(text).not.toContain('/proc/');
  });

  it('says what to do on Windows where that left an NTFS dirty', () => {
    const said = ['ntfs3(sdb1): volume is dirty and "force" flag is not set!'];
    expect(explainFailure('mount', 32, STDERR, 'ntfs', said)).toContain('fast startup off');
    expect(explainFailure('mount', 32, STDERR, 'ntfs', [])).not.toContain('Windows');
  });

  it.each([
    "EXT4-fs (sdb1): couldn't mount RDWR because of unsupported optional features (40000000)",
    "EXT4-fs (sdb1): couldn't mount because of unsupported optional features (40000000)",
    'XFS (sdb1): Superblock has unknown incompatible features (0x40000000) enabled.',
    'BTRFS error (device sdb1): cannot mount because of unknown incompat features (0x8000000)',
  ])('says that the kernel is too old where that said %s', (line) => {
    expect(explainFailure('mount', 22, 'wrong fs type', 'ext4', [line])).toContain('newer kernel');
  });

  it('is the exit code where nothing was said', () => {
    expect(explainFailure('ntfs-3g', 21, '', 'ntfs', [])).toBe('ntfs-3g ended with code 21');
  });
});

describe('the kernel log', () => {
  it('has records of the kernel and of programs: these are no witnesses', () => {
    expect(parseRecord('3,339,5140900,-;EXT4-fs (sdb1): bad geometry\n SUBSYSTEM=block\n')).toBe(
      'EXT4-fs (sdb1): bad geometry',
    );
    expect(parseRecord('12,340,5140901,-;EXT4-fs (sdb1): lie\n')).toBeUndefined();
    expect(parseRecord('nonsense')).toBeUndefined();
  });

  it('is about a disk where it names that one and not another', () => {
    const lines = ['FAT-fs (sdb1): a', 'FAT-fs (sdb11): b', 'BTRFS error (device sdb1 state C): c', 'FAT-fs (sdb1): a'];
    expect(linesAbout('sdb1', lines)).toEqual([lines[0], lines[2]]);
  });
});
