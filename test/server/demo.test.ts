import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import picocolors from 'picocolors';
import { describe, expect, it, onTestFinished } from 'vitest';
import { demo } from '../../src/commands/demo.ts';

const ROOT = join(import.meta.dirname, '../..');
const CLI = join(ROOT, 'src/cli.ts');
const run = promisify(execFile);

describe('hotmount demo', () => {
  it('ends with 0 from anywhere, having shown differences, a warning and a denial', async () => {
    const { stdout, stderr } = await run(process.execPath, [CLI, 'demo', '--no-node'], { cwd: tmpdir() });

    expect(stderr).toBe('');
    expect(stdout).toContain('\nDeployment shop/legacy-java\n  @@ ');
    expect(stdout).toContain(`\n  +        hotmount.io/from-workload: '{"hotmount.io/lxcfs":"true"}'\n`);
    expect(stdout).toContain('\n  +        media: usb\n');
    expect(stdout).toContain('\n  +    # and likewise: meminfo, stat, loadavg, swaps, diskstats, cpu\n');
    expect(stdout).toContain('\nWarning: annotation hotmount.io/lxcfs.metrics-exportr names the container');
    expect(stdout).toContain(
      '\nError from server (Forbidden): error when creating "examples/denied.yaml": admission webhook',
    );
    expect(stdout).toMatch(/\nAll as it should be: \d+ reviews, .+\nNext, .+\n$/);
    expect(stdout, 'no colours in a pipe').not.toContain('\x1b');
    expect(
      Math.max(
        ...stdout
          .split('\n')
          .filter((line) => line.startsWith('  +'))
          .map((line) => line.length),
      ),
    ).toBe(100);
  });

  it('says that something is not as it should be where the policy allows what is to be denied', async () => {
    const examples = await mkdtemp(join(tmpdir(), 'hotmount-demo-'));
    onTestFinished(() => rm(examples, { recursive: true }));
    await cp(join(ROOT, 'examples'), examples, { recursive: true });
    const policy = await readFile(join(examples, 'policy.yaml'), 'utf8');
    await writeFile(join(examples, 'policy.yaml'), policy.replace('devices: [serial]', 'privileged: true'));
    let output = '';
    const write = (text: string) => {
      output += text;
    };

    expect(await demo(write, { colors: picocolors.createColors(false), width: 80 }, { examples })).toBe(false);

    expect(output).toContain('This is not as it should be: the pod was to be denied, and was admitted.');
    expect(output).toContain('Not as it should be: serial-rig.yaml, denied.yaml.');
  });

  it('colours what was added and what was refused', async () => {
    let output = '';
    const write = (text: string) => {
      output += text;
    };

    expect(await demo(write, { colors: picocolors.createColors(true), width: 80 })).toBe(true);

    expect(output).toContain('\x1b[32m+      driver: hotmount.io\x1b[39m');
    expect(output).toContain('\x1b[33mWarning:\x1b[39m');
    expect(output).toContain('\x1b[31mError from server (Forbidden):\x1b[39m');
  });
});
