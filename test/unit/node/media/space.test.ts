import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Mount } from '../../../../src/linux/mountinfo.ts';
import type { Mounted } from '../../../../src/node/media/actual.ts';
import { SpaceReader } from '../../../../src/node/media/space.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hotmount-space-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

test('a disk that several ask about at once is asked once', async () => {
  writeFileSync(`${directory}/stat`, `#!/bin/sh\necho asked >> ${directory}/log\nsleep 0.1\necho 512 100 50\n`);
  chmodSync(`${directory}/stat`, 0o755);
  vi.stubEnv('PATH', `${directory}:${process.env['PATH']}`);
  const mount = { id: 7, mountPoint: '/' } as Mount;
  const record = { name: 'sdz', fileSystem: { type: 'ext4' } };
  const mounted = [{ className: 'usb', directory: 'STICK', record, main: [mount], twin: [] } as unknown as Mounted];
  const reader = new SpaceReader();

  const answers = await Promise.all([reader.read(mounted), reader.read(mounted), reader.read(mounted)]);

  for (const spaces of answers) expect(spaces.get('sdz')).toMatchObject({ size: 51_200, free: 25_600 });
  expect(readFileSync(`${directory}/log`, 'utf8')).toBe('asked\n');
});
