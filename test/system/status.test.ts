import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LeftBehind } from '../../src/node/status.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { mountPointsBelow, Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('hotmount status', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const ask = (daemon: Daemon, ...args: string[]) =>
    spawnSync(process.execPath, [CLI, 'status', '--run-dir', daemon.runDir, ...args], { encoding: 'utf8' });

  it('shows what the last daemon has mounted where none answers, and which of it is gone', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const path = await daemon.mounted(disk.plug());
    await daemon.kill();
    const before = mountPointsBelow(rig.dir);

    const table = ask(daemon);
    expect(table.status).toBe(1);
    expect(table.stderr).toContain(`no hotmount node is running on ${daemon.runDir}`);
    expect(table.stdout).toMatch(new RegExp(`^MOUNTED\\nDISK .*\\n${disk.name} +test +ext4 +STICK .*${path}\\n$`));

    disk.pull();
    expect(ask(daemon).stdout).toContain(`\nGONE, STILL MOUNTED\n${disk.name} `);
    const { daemon: none, mounted } = JSON.parse(ask(daemon, '-o', 'json').stdout) as LeftBehind;
    expect(none).toBeNull();
    expect(mounted).toMatchObject([{ disk: disk.name, label: 'STICK', uuid: disk.uuid, path, present: false }]);
    expect(mountPointsBelow(rig.dir), 'looking changes nothing').toEqual(before);
  });

  it('shows that the policy was changed to something broken, until it is mended', async () => {
    const daemon = await new Daemon(rig).start();
    daemon.setPolicy('kind: Polizei\n');
    const shown = () => ask(daemon).stdout;
    await until('it is shown', () =>
      /^the policy in force is an older one, of \d+\w+ ago: .*policy\.yaml:1:/m.test(shown()),
    );
    daemon.setPolicy(rig.policy());
    await until('it is no longer shown', () => !shown().includes('an older one'));
  });

  it('shows the same of a daemon that has come to a standstill', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    const path = await daemon.mounted(disk.plug());
    process.kill(daemon.pid, 'SIGSTOP');

    const { status, stdout, stderr } = ask(daemon);
    expect(status).toBe(1);
    expect(stderr).toContain('did not answer');
    expect(stdout).toContain(path);
  });

  it('shows nothing where there is no run dir, and makes none', () => {
    const daemon = new Daemon(rig);
    const { status, stdout, stderr } = ask(daemon);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toContain('no hotmount node is running');
    expect(mountPointsBelow(rig.dir)).toEqual([rig.dir]);
  });
});
