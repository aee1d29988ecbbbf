import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openCertificateFiles } from '../../src/admission/index.ts';
import { collectingLogger, LXCFS, podWith, reviewOf, scratch, startRig } from './support.ts';

const SCRIPT = join(import.meta.dirname, '../../certs/make.ts');

it('certs/make.ts makes what the webhook serves with, for this machine and the Service; the key is its owner’s', async () => {
  const out = await scratch();
  expect(await make('--out', out, '--service', 'hotmount/webhook', '--host', '192.0.2.7')).toMatchObject({ code: 0 });
  const files = { cert: join(out, 'tls.crt'), key: join(out, 'tls.key') };
  expect((await stat(files.key)).mode & 0o777).toBe(0o600);

  const ca = await readFile(join(out, 'ca.crt'), 'utf8');
  const rig = await startRig({
    certificates: openCertificateFiles(files, collectingLogger([])),
    agent: { connect: { ca, servername: 'webhook.hotmount.svc' } },
  });
  expect((await rig.post('/mutate/pods', reviewOf(podWith(LXCFS)))).statusCode).toBe(200);
});

it('certs/make.ts replaces nothing without --force', async () => {
  const out = await scratch();
  await make('--out', out);
  const key = await readFile(join(out, 'tls.key'), 'utf8');
  expect(await make('--out', out)).toMatchObject({ code: 1, stderr: expect.stringContaining('--force replaces it') });
  expect(await readFile(join(out, 'tls.key'), 'utf8')).toBe(key);
  expect(await make('--out', out, '--force')).toMatchObject({ code: 0 });
  expect(await readFile(join(out, 'tls.key'), 'utf8')).not.toBe(key);
});

it('certs/make.ts is not stopped by what a run that was broken off has left', async () => {
  const out = await scratch();
  await writeFile(join(out, 'tls.key.part'), 'half a key', { mode: 0o644 });
  expect(await make('--out', out)).toMatchObject({ code: 0 });
  expect((await stat(join(out, 'tls.key'))).mode & 0o777).toBe(0o600);
});

it.each([
  ['--days', '0'],
  ['--service', 'webhook'],
  ['--nonsense', '1'],
])('certs/make.ts refuses %s %s with exit code 2', async (...args) => {
  expect(await make('--out', await scratch(), ...args)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(args[0]),
  });
});

function make(...args: string[]): Promise<{ code: number; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], (error, _, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stderr }),
    );
  });
}
