import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readProbe } from '../../../../src/node/lxcfs/probe.ts';
import { argumentsFor, findPrograms, fingerprintNow, parseOptions } from '../../../../src/node/lxcfs/program.ts';

describe('the lxcfs that is found', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-program-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  function fakeLxcfs(version: string): string {
    const help = 'Usage: lxcfs <directory>\n  -l, --enable-loadavg\n  --enable-cfs\n  --enable-pidfd';
    const script = `#!/bin/sh\ncase $1 in --version) echo '${version}';; --help) echo '${help}';; esac\n`;
    writeFileSync(join(dir, 'lxcfs'), script);
    chmodSync(join(dir, 'lxcfs'), 0o755);
    return join(dir, 'lxcfs');
  }

  it('is the first of the PATH, with its version and options', async () => {
    const path = fakeLxcfs('"5.0.3"');
    const { programs, problems } = await findPrograms(`/nowhere:${dir}`, '/nowhere');
    const [program, ...others] = programs;
    expect(problems).toEqual([]);
    expect(program).toMatchObject({ path, root: '/', version: '5.0.3' });
    expect([...(program?.options ?? [])]).toEqual(['enable-loadavg', 'enable-cfs', 'enable-pidfd']);
    expect(others).toEqual([]);
  });

  it('is refused where it is too old or unknown', async () => {
    fakeLxcfs('3.1.2');
    await expect(findPrograms(dir, '/nowhere')).rejects.toThrow(/is lxcfs 3\.1\.2: install 4\.0 or newer/);
    fakeLxcfs('hello');
    await expect(findPrograms(dir, '/nowhere')).rejects.toThrow(/printed "hello", which is no version/);
  });

  it('is refused where it cannot be run, whatever number is in the message', async () => {
    writeFileSync(join(dir, 'lxcfs'), '#!/bin/sh\necho "/opt/lxcfs/7.0.0/lib: not found" >&2\nexit 127\n');
    chmodSync(join(dir, 'lxcfs'), 0o755);
    await expect(findPrograms(dir, '/nowhere')).rejects.toThrow(
      /lxcfs --version ended with code 127: \/opt\/lxcfs\/7\.0\.0\/lib: not found/,
    );
  });

  it('is another one when its file is another', async () => {
    const program = { path: fakeLxcfs('5.0.3'), root: '/', version: '5.0.3', options: new Set<string>() };
    const before = fingerprintNow(program, '');
    expect(fingerprintNow(program, before)).toBe(before);
    rmSync(program.path);
    expect(fingerprintNow(program, before)).toBe(`${program.path}=gone`);
    fakeLxcfs('6.0.0');
    expect(fingerprintNow(program, before)).not.toBe(before);
  });

  it('is started with what it understands', () => {
    const options = { loadavg: true, pidfile: '/p' };
    const newer = { path: '', root: '/', version: '6.0.4', options: parseOptions('--enable-cfs --runtime-dir=DIR') };
    expect(argumentsFor(newer, options)).toEqual([
      '-l',
      '--enable-cfs',
      '-p',
      '/p',
      '-o',
      'allow_other,fsname=hotmount,subtype=lxcfs',
    ]);
    const older = { path: '', root: '/', version: '4.0', options: parseOptions('') };
    expect(argumentsFor(older, { ...options, loadavg: false })).toEqual([
      '-p',
      '/p',
      '-o',
      'allow_other,fsname=hotmount,subtype=lxcfs',
    ]);
  });
});

describe('what a reader in a limited cgroup is told', () => {
  const result = { code: 0, stderr: '', timedOut: false };
  const meminfo = (kB: number) => `MemTotal:       ${kB} kB\nMemFree: 1 kB\n`;

  it('is its own limit, and then the instance is ready', () => {
    const stdout = `${meminfo(65536)}serves /proc/meminfo\nserves /proc/stat\n`;
    expect(readProbe({ ...result, stdout })).toEqual({
      outcome: 'ready',
      files: ['/proc/meminfo', '/proc/stat'],
      untrue: [],
    });
  });

  it('is the node’s, and then the instance is unfit, however well it answers', () => {
    expect(readProbe({ ...result, stdout: meminfo(24684084) })).toMatchObject({
      outcome: 'unfit',
      detail: expect.stringContaining('was told MemTotal 24684084 kB'),
    });
  });

  it('is nothing', () => {
    expect(readProbe({ ...result, code: undefined, stdout: '', timedOut: true })).toEqual({ outcome: 'hung' });
    const stderr = 'cat: proc/meminfo: Transport endpoint is not connected';
    expect(readProbe({ ...result, code: 1, stdout: '', stderr })).toEqual({ outcome: 'failed', detail: stderr });
    expect(readProbe({ ...result, stdout: '' })).toMatchObject({ outcome: 'failed' });
  });

  it('is nothing of what matters, though lxcfs answers, and then the instance is unfit', () => {
    const answer = { outcome: 'unfit', detail: expect.stringContaining('shows a reader no /proc/meminfo') };
    expect(readProbe({ ...result, stdout: 'cpus 0\nanswers\n' })).toMatchObject(answer);
  });
});
