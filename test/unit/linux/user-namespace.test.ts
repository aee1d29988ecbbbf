import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { NoUserNamespacesError, ownerNamespace } from '../../../src/linux/user-namespace.ts';

const directories: string[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** An unshare(1) that fails with these words. */
function fakeUnshare(words: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'fake-unshare-'));
  directories.push(directory);
  writeFileSync(join(directory, 'unshare'), `#!/bin/sh\necho 'unshare: unshare failed: ${words}' >&2\nexit 1\n`);
  chmodSync(join(directory, 'unshare'), 0o755);
  vi.stubEnv('PATH', `${directory}:${process.env['PATH']}`);
}

it.each([
  ['Operation not permitted', true],
  ['Invalid argument', true],
  ['Cannot allocate memory', false],
  ['No space left on device', false],
])('a node on which unshare(1) fails with "%s" has no user namespaces for good: %s', async (words, isForGood) => {
  fakeUnshare(words);
  const failure = await ownerNamespace({ uid: 1000, gid: 1000 }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ message: expect.stringContaining(words) });
  expect(failure instanceof NoUserNamespacesError).toBe(isForGood);
});
