import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectories } from '../../../src/linux/make-directories.ts';

describe('a directory to be made', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'hotmount-directories-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('has its parents made, and stays where it is there', () => {
    for (let times = 0; times < 2; times++) makeDirectories(join(root, 'a/b/c'), 0o750);
    expect(statSync(join(root, 'a/b/c')).mode & 0o777).toBe(0o750);
  });

  it('is refused where a file is in the way', () => {
    writeFileSync(join(root, 'file'), '');
    expect(() => makeDirectories(join(root, 'file'))).toThrow('EEXIST');
    expect(() => makeDirectories(join(root, 'file/a'))).toThrow('ENOTDIR');
  });

  it.runIf(process.platform === 'linux')('is refused where the kernel makes none', () => {
    expect(() => makeDirectories('/proc/nowhere/a')).toThrow('ENOENT');
    expect(() => makeDirectories('/proc/self/fd/99999/a/b')).toThrow('ENOENT');
  });
});
