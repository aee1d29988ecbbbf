import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a second daemon on the same run dir', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  /** Of the daemon that stands by. */
  const healthOf = async (daemon: Daemon): Promise<{ status: number; text: string }> => {
    const port = await until('it stands by', () => {
      if (daemon.hasEnded) throw new Error(daemon.log);
      return /"metricsPort":(\d+)[^\n]*standing by/.exec(daemon.log)?.[1];
    });
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    return { status: response.status, text: await response.text() };
  };

  it.each(['SIGTERM', 'SIGKILL'] as const)('stands by, ready, until the first has ended by %s', async (signal) => {
    const first = await new Daemon(rig).start();
    const [before, after] = [new LoopDisk(rig, { label: 'BEFORE' }), new LoopDisk(rig, { label: 'AFTER' })];
    before.plug();
    await first.mounted(before.name);

    const second = new Daemon(rig);
    second.spawn();
    expect(await healthOf(second)).toEqual({
      status: 200,
      text: `ok\nstanding by: another daemon serves ${second.runDir}\n`,
    });
    expect((await first.status())?.daemon.pid).toBe(first.pid);

    await first.stop(signal);
    after.plug();
    await until('the second serves', async () => (await second.status())?.daemon.pid === second.pid);
    await second.mounted(after.name);
    expect(second.mountPoints()).toEqual(expect.arrayContaining(['media/test/AFTER', 'media/test/BEFORE']));
    await second.logged(/taking over/);
  });

  it('makes a new run dir where the first has lost it, and is then the only one that serves', async () => {
    const first = await new Daemon(rig).start();
    const second = new Daemon(rig);
    second.spawn();
    await healthOf(second);
    run('umount', '-l', first.runDir);
    await until('the first ends', () => first.hasEnded);
    await until('the second serves', async () => (await second.status())?.daemon.pid === second.pid);
    const third = new Daemon(rig);
    third.spawn();
    await healthOf(third);
    const disk = new LoopDisk(rig, { label: 'AFTER' });
    disk.plug();
    await second.mounted(disk.name);
    expect(second.mountPoints()).toEqual(['media-ro/test/AFTER', 'media/test/AFTER']);
  });

  it('ends on a signal while it stands by, and leaves the first alone', async () => {
    const first = await new Daemon(rig).start();
    const second = new Daemon(rig);
    second.spawn();
    await healthOf(second);
    expect(await second.stop()).toBe(0);
    expect((await first.status())?.daemon).toMatchObject({ pid: first.pid, ready: true });
  });
});
