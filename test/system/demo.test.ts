import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CLI } from './support/cli-process.ts';
import { Rig, readText, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('hotmount demo', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  /** All that it makes is in or of the temporary directory that it is given. */
  const environment = (path = process.env['PATH']) => ({ ...process.env, PATH: path, TMPDIR: rig.dir });
  const demo = (path?: string) =>
    spawnSync(process.execPath, [CLI, 'demo'], { encoding: 'utf8', env: environment(path) });
  const left = (): string[] => [
    ...readdirSync(rig.dir),
    ...readText('/proc/self/mountinfo')
      .split('\n')
      .filter((line) => line.includes(`${rig.dir}/`)),
    ...execFileSync('losetup', ['-l', '-n', '-O', 'BACK-FILE'], { encoding: 'utf8' })
      .split('\n')
      .filter((file) => file.includes(rig.dir)),
  ];

  /** A child that the daemon had look at a disk when it was killed has the disk open for a moment longer. */
  const nothingIsLeft = (): Promise<true> =>
    until('nothing is left', () => {
      expect(left()).toEqual([]);
      return true as const;
    });

  it('ends with a disk and a raw device that come to a running container, are read there, and go; and leaves nothing', async () => {
    const { status, stdout, stderr } = demo();
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/\nHello from the disk\.\n\d+ ms from plugging it in/);
    expect(stdout).toMatch(/\n\$ runc exec demo ls \/media\n\d+ ms until it was gone/);
    expect(stdout).toMatch(/\nHello from the raw device\.\n\d+ ms from plugging it in/);
    expect(stdout).toMatch(/\n\$ runc exec demo ls \/devices\n\d+ ms until it was gone/);
    expect(stdout).toMatch(/\nAll as it should be: .+\nNext, .+\n$/);
    await nothingIsLeft();
  });

  it('says in one line why it leaves that out, where runc is missing', () => {
    const bin = rig.path('bin');
    mkdirSync(bin);
    for (const program of ['losetup', 'mkfs.ext4', 'blkid', 'mount', 'umount', 'unshare', 'setpriv', 'busybox']) {
      symlinkSync(
        execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim(),
        `${bin}/${program}`,
      );
    }
    const { status, stdout } = demo(bin);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\n\n\(The node's half is left out: these programs are not installed: runc\.\)\n\nAll as/);
  });

  it('is not as it should be where the daemon does not start', async () => {
    const broken = 'if (process.argv[2] === "node") { console.error("no daemon today"); process.exit(1); }';
    const env = { ...environment(), NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(broken)}` };
    const { status, stdout } = spawnSync(process.execPath, [CLI, 'demo'], { encoding: 'utf8', env });
    expect(stdout).toContain('This is not as it should be: the daemon ended: no daemon today.');
    expect(status).toBe(1);
    await nothingIsLeft();
  });

  it('leaves nothing where it is interrupted, either', async () => {
    const child = spawn(process.execPath, [CLI, 'demo'], { stdio: 'ignore', env: environment() });
    rig.onClose('process', () => child.kill('SIGKILL'));
    const state = await until('its container runs', () => {
      const name = readdirSync(rig.dir).find((each) => existsSync(rig.path(each, 'runc', each, 'state.json')));
      return name && rig.path(name, 'runc', name, 'state.json');
    });
    const { init_process_pid: pid } = JSON.parse(readText(state)) as { init_process_pid: number };
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    expect(await exited).toEqual([1, null]);
    await nothingIsLeft();
    await until('its container has ended', () => !existsSync(`/proc/${pid}`));
  });
});
