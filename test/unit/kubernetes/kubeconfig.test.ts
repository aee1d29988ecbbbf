import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** In a process of its own, which gives up root's right to read everything once all modules are there. */
const PROGRAM = `
  const { loadKubeconfig } = await import(process.argv[1]);
  await import('@kubernetes/client-node/dist/config.js');
  if (process.getuid() === 0) process.seteuid(65534);
  await loadKubeconfig().catch((error) => process.stdout.write(error.name + ': ' + error.message));
`;

it('says of a kubeconfig that may not be read which it is, and what to do, in one sentence', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hotmount-kubeconfig-'));
  const file = join(directory, 'config');
  try {
    writeFileSync(file, '{}', { mode: 0o000 });
    const module = join(import.meta.dirname, '../../../src/kubernetes/kubeconfig.ts');
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', PROGRAM, module], {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG: file },
    });
    expect(stderr).toBe('');
    expect(stdout.replace(file, 'FILE')).toMatch(
      /^KubernetesError: FILE: .*\(EACCES\): run it with sudo, or make a copy that you may read, .*KUBECONFIG$/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
