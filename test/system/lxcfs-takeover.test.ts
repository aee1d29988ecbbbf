import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MountReplacer } from '../../src/linux/mount-replacer.ts';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { namespaceOf } from '../../src/linux/namespaces.ts';
import { askToYield } from '../../src/node/lxcfs/api.ts';
import { Attacher } from '../../src/node/lxcfs/attach.ts';
import { FILES } from '../../src/node/lxcfs/attach-plan.ts';
import { Installation } from './lxcfs/installation.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { endLxcfs, LxcfsService, lxcfsProcesses } from './lxcfs/service.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

describeSystem('lxcfs when something is replaced', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const expectNoError = (container: ReadingContainer): void => {
    const told = container.observations().filter(({ file }) => file === '/proc/meminfo');
    expect(new Set(told.map(({ value }) => value))).toEqual(new Set([container.memTotal]));
    expect(container.errors()).toEqual({ time: 0, errnos: new Set() });
  };

  /** Also in the words of the readiness probe. */
  const settles = async (lxcfs: LxcfsService): Promise<void> => {
    const check = () => run(process.execPath, CLI, 'lxcfs', '--check', '--run-dir', lxcfs.runDir);
    await until('the check succeeds', () => check() === '');
  };

  for (const what of ['program', 'library', 'place'] as const) {
    it(`takes over another ${what} of lxcfs through the standby, and no reader notices`, async () => {
      const installation = new Installation(rig);
      const lxcfs = new LxcfsService(rig);
      lxcfs.path = installation.path;
      await lxcfs.start();
      const containers = [0, 1, 2].map((i) =>
        new ReadingContainer(rig, { source: lxcfs.source, userNamespace: i === 2 }).start(),
      );
      await lxcfs.healthy();
      const before = lxcfsProcesses(lxcfs.runDir);
      if (what === 'program') installation.installProgram();
      else if (what === 'library') installation.installLibrary();
      else installation.removeProgram();
      await until('both are new', () => {
        const now = lxcfsProcesses(lxcfs.runDir);
        return now.length === 2 && now.every((pid) => !before.includes(pid));
      });
      await lxcfs.healthy();
      for (const container of containers) {
        await until('it reads', () => container.last().size === container.files.length);
        expectNoError(container);
        expect(new Set(container.lxcfsMounts().map(({ device }) => device)).size).toBe(1);
      }
      expect((await lxcfs.status())?.restarts).toBe(0);
    });
  }

  it('takes over another program with no other value told to anybody, before Linux 6.5, too', async () => {
    const library = rig.path('old-kernel.so');
    const source = join(import.meta.dirname, 'support/fake-old-kernel.c');
    // move_mount(2) with MOVE_MOUNT_BENEATH.
    const missing = ['-DMISSING=429', '-DMISSING_FLAG=0x200'];
    run('gcc', '-O1', '-shared', '-fPIC', '-DPRELOADED', ...missing, '-o', library, source);
    const installation = new Installation(rig);
    const lxcfs = new LxcfsService(rig);
    lxcfs.path = installation.path;
    lxcfs.env = { LD_PRELOAD: library };
    const disk = `/dev/${new LoopDisk(rig, {}).plug()}`;
    // Not below /tmp, which lxcfs has in its namespace: the program is there.
    const mountPoint = mkdtempSync('/var/tmp/hotmount-');
    rig.onClose('process', () => {
      spawnSync('umount', [mountPoint]);
      rmdirSync(mountPoint);
    });
    run('mount', disk, mountPoint);
    await lxcfs.start();
    const container = new ReadingContainer(rig, { source: lxcfs.source, files: ['/proc/meminfo'], pause: 0 }).start();
    await lxcfs.healthy();
    for (let times = 0; times < (SOAK ? 20 : 3); times++) {
      const before = lxcfsProcesses(lxcfs.runDir);
      installation.installProgram();
      await until('both are new', () => {
        const now = lxcfsProcesses(lxcfs.runDir);
        return now.length === 2 && now.every((pid) => !before.includes(pid));
      });
      await lxcfs.healthy();
    }
    expectNoError(container);
    expect(container.lxcfsMounts()).toHaveLength(container.files.length);
    // No namespace of the supervisor's keeps what is mounted on the node.
    run('umount', mountPoint);
    closeSync(openSync(disk, constants.O_RDONLY | constants.O_EXCL));
  });

  it('replaces one that has grown too large, and no reader notices', async () => {
    const installation = new Installation(rig);
    installation.makeLarge(100);
    const lxcfs = new LxcfsService(rig);
    lxcfs.path = installation.path;
    await lxcfs.start();
    const container = new ReadingContainer(rig, { source: lxcfs.source }).start();
    await until('it reads', () => container.last().size === container.files.length);
    await until('it is noticed', () => lxcfs.log.includes('lxcfs uses too much memory: it is replaced'));
    const memory = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    await until('both are small', () => {
      const now = lxcfsProcesses(lxcfs.runDir);
      return now.length === 2 && now.every((pid) => memory(pid) < 50_000);
    });
    await lxcfs.healthy();
    expectNoError(container);
    expect((await lxcfs.status())?.restarts).toBe(0);
  });

  it('has containers read their limits after someone has told lxcfs to load its library again, also where that hangs', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const container = new ReadingContainer(rig, { source: lxcfs.source }).start();
    await lxcfs.healthy();
    // lxcfs 5.0.3 deadlocks now and then when it is told so while it is being read from: hotmount never does.
    for (const pid of lxcfsProcesses(lxcfs.runDir)) process.kill(pid, 'SIGUSR1');
    await until('one has', () => lxcfs.log.includes('lxcfs: Closed liblxcfs.so'));
    await lxcfs.healthy();
    // What the first one has read last may be from before; and none starts between the death of one lxcfs and the next.
    const start = () => new ReadingContainer(rig, { source: lxcfs.source }).start();
    const fresh = await until('another one starts', start, 60);
    for (const one of [fresh, container]) {
      await until('it reads', () => one.last().get('/proc/meminfo') === one.memTotal, 60);
    }
  });

  it('hands over to another supervisor, and goes on when that one ends', async () => {
    const first = await new LxcfsService(rig).start();
    const container = new ReadingContainer(rig, { source: first.source }).start();
    const pids = lxcfsProcesses(first.runDir);
    await settles(first);
    const second = await new LxcfsService(rig).start();
    await until('the second one answers', async () => (await second.status())?.supervisor.pid === second.pid);
    expect(lxcfsProcesses(first.runDir)).toEqual(pids);
    await second.kill();
    await until('the first one goes on', async () => (await first.status())?.supervisor.pid === first.pid);
    await first.healthy();
    process.kill((await first.instance('active')).pid, 'SIGKILL');
    await until('it is noticed', async () => (await first.status())?.restarts === 1);
    await first.healthy();
    await until('it reads', () => container.last().get('/proc/meminfo') === container.memTotal);
  });

  it('leaves its socket to the next supervisor, which answers there when the first has ended, and hands over itself', async () => {
    const first = await new LxcfsService(rig).start();
    const isAnsweredBy = ({ pid }: LxcfsService) =>
      until(`${pid} answers`, async () => (await first.status())?.supervisor.pid === pid);
    const second = new LxcfsService(rig).spawn();
    await isAnsweredBy(second);
    expect(await first.stop()).toBe(0);
    expect((await first.status())?.supervisor.pid).toBe(second.pid);
    await settles(second);
    const third = new LxcfsService(rig).spawn();
    await isAnsweredBy(third);
    await third.logged(/asking the supervisor/);
    expect(third.log.match(/asking the supervisor/g)).toHaveLength(1);
    await third.healthy();
    expect(await second.stop()).toBe(0);
    expect((await first.status())?.supervisor.pid).toBe(third.pid);
  });

  it('goes on once, when two others wanted to take over at the same time and have ended', async () => {
    const first = await new LxcfsService(rig).start();
    const pids = lxcfsProcesses(first.runDir);
    await Promise.all([askToYield(first.runDir), askToYield(first.runDir)]);
    await until('it goes on', async () => (await first.status())?.supervisor.pid === first.pid);
    await first.healthy();
    await first.logged(/going on/);
    // A second one would have found the lock free, and itself beside the first.
    await sleep(2500);
    expect(first.log.match(/going on/g)).toHaveLength(1);
    expect(lxcfsProcesses(first.runDir)).toEqual(pids);
  });

  it('goes by the policy as it is now, also where that has changed while it was taking over', async () => {
    const policy = rig.path('run-policy.yaml');
    writeFileSync(policy, `${rig.policy()}lxcfs: {views: [meminfo, loadavg]}\n`);
    const first = await new LxcfsService(rig, ['--policy', policy]).start();
    const keepLoad = () =>
      lxcfsProcesses(first.runDir).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0-l\0'));
    // While one starts, the program that starts it has the same arguments.
    await until('both keep the load average', () => keepLoad().length === 2);
    process.kill(first.pid, 'SIGSTOP');
    const second = new LxcfsService(rig, ['--policy', policy]).spawn();
    await until('it asks', () => second.log.includes('asking the supervisor'));
    writeFileSync(`${policy}.new`, `${rig.policy()}lxcfs: {views: [meminfo]}\n`);
    renameSync(`${policy}.new`, policy);
    await until('it has read the policy', () => second.log.includes('policy reloaded'));
    process.kill(first.pid, 'SIGCONT');
    await until(
      'none keeps the load average',
      () => lxcfsProcesses(first.runDir).length === 2 && keepLoad().length === 0,
    );
  });

  it('is started by the daemon, outlives it, and is adopted by the next', async () => {
    const daemon = new Daemon(rig, { args: ['--lxcfs', 'auto'] });
    rig.onClose('process', async () => {
      const supervisor = (await daemon.status().catch(() => undefined))?.lxcfs;
      if (supervisor && 'supervisor' in supervisor) process.kill(supervisor.supervisor.pid, 'SIGKILL');
      endLxcfs(daemon.runDir);
    });
    await daemon.start();
    const ready = () =>
      until('lxcfs is ready', async () => {
        const lxcfs = (await daemon.status())?.lxcfs;
        if (!lxcfs || !('instances' in lxcfs)) return undefined;
        const roles = lxcfs.instances.map(({ role }) => role).sort();
        return roles.join() === 'active,standby' ? lxcfs : undefined;
      });
    const before = await ready();
    const container = new ReadingContainer(rig, { source: `${daemon.runDir}/lxcfs` }).start();
    await daemon.kill();
    await daemon.start();
    await until('it reads', () => container.last().size === container.files.length);
    const after = await ready();
    expect(after.supervisor.pid).toBe(before.supervisor.pid);
    expect(after.instances).toEqual(before.instances);
    process.kill(after.supervisor.pid, 'SIGKILL');
    const next = await until('another supervisor', async () => {
      const lxcfs = (await daemon.status())?.lxcfs;
      return lxcfs && 'supervisor' in lxcfs && lxcfs.ready && lxcfs.supervisor.pid !== before.supervisor.pid
        ? lxcfs
        : undefined;
    });
    expect(next.instances.map(({ pid }) => pid)).toEqual(before.instances.map(({ pid }) => pid));
    expectNoError(container);
    // Without the daemon and the supervisor the run dir is put away as a whole.
    process.kill(next.supervisor.pid, 'SIGKILL');
    await daemon.kill();
  });

  it('is taken over by a daemon, when the supervisor of another pod that it left it to has gone', async () => {
    const policy = rig.path('run-policy.yaml');
    const daemon = new Daemon(rig, { args: ['--lxcfs', 'auto'] });
    const lxcfs = await new LxcfsService(rig, ['--policy', policy]).start();
    const container = new ReadingContainer(rig, { source: lxcfs.source }).start();
    const { instances } = await lxcfs.healthy();
    await daemon.start();
    expect((await lxcfs.status())?.supervisor.pid).toBe(lxcfs.pid);
    await lxcfs.stop();
    const next = await until('the daemon has started one', async () => {
      const status = await lxcfs.status();
      return status?.settled && status.supervisor.pid !== lxcfs.pid ? status : undefined;
    });
    expect(next.instances).toEqual(instances);
    await until('it reads', () => container.last().size === container.files.length);
    expectNoError(container);
    await daemon.kill();
    process.kill(next.supervisor.pid, 'SIGKILL');
  });

  it('is taken out of all containers by --cleanup, and they read the node’s values', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const containers = [false, true].map((userNamespace) =>
      new ReadingContainer(rig, { source: lxcfs.source, userNamespace }).start(),
    );
    await lxcfs.healthy();
    const before = containers.map((container) => container.otherMounts());
    const cleanUp = () => run(process.execPath, CLI, 'node', '--cleanup', '--no-csi', '--run-dir', lxcfs.runDir);
    expect(cleanUp).toThrow(/hotmount lxcfs is running on .*: stop it first/);
    await lxcfs.stop();
    cleanUp();
    for (const container of containers) {
      await until('it reads the node’s', () => container.last().get('/proc/meminfo') === totalmem() / 1024);
      expect(container.mounts().filter(({ source }) => source === 'hotmount')).toEqual([]);
    }
    expect(containers.map((container) => container.otherMounts())).toEqual(before);
    expect(lxcfsProcesses(lxcfs.runDir)).toEqual([]);
    expect(readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(lxcfs.runDir))).toEqual([]);
  });

  it('ends with the run dir', async () => {
    const lxcfs = await new LxcfsService(rig).start();
    run('umount', '-l', lxcfs.runDir);
    await until('nothing is left', () => lxcfsProcesses(lxcfs.runDir).length === 0);
    expect(await lxcfs.ended()).toBe(1);
    expect(() => run(process.execPath, CLI, 'lxcfs', '--check', '--run-dir', lxcfs.runDir)).toThrow(
      /no hotmount lxcfs/,
    );
  });

  it('says what to do where there is no lxcfs, and starts when there is one', async () => {
    const lxcfs = new LxcfsService(rig);
    const bin = rig.path('bin');
    mkdirSync(bin);
    writeFileSync(`${bin}/lxcfs`, '#!/bin/sh\necho 2.0.8\n', { mode: 0o755 });
    lxcfs.path = `${bin}:`;
    lxcfs.spawn();
    const problem = await until(
      'a problem',
      async () => (await lxcfs.status())?.problem?.includes('lxcfs 2') && (await lxcfs.status())?.problem,
    );
    expect(problem).toBe(`${bin}/lxcfs is lxcfs 2.0.8: install 4.0 or newer`);
    renameSync(`${bin}/lxcfs`, `${bin}/old`);
    await lxcfs.healthy();
  });

  const heals = SOAK ? 1000 : 30;
  it(`never lets its own process see a container’s files, in ${heals} heals`, async () => {
    const lxcfs = await new LxcfsService(rig).start();
    const container = new ReadingContainer(rig, { source: lxcfs.source }).start();
    const paths = (await lxcfs.status())?.instances.map(({ path }) => path) ?? [];
    // It would put back what is done here.
    await lxcfs.stop();
    const replacer = new MountReplacer();
    try {
      const lives = await Promise.all(
        paths.map(async (path) => {
          const descriptors = await replacer.open(
            FILES.map((file) => `${path}${file}`),
            path,
          );
          const device = readMountinfo().find(({ mountPoint }) => mountPoint === path)?.device as string;
          const files = FILES.flatMap((file, i) =>
            descriptors[i] === undefined ? [] : [{ file, fd: descriptors[i] }],
          );
          return { device, sources: new Map(files.map(({ file, fd }) => [file, { device, fd }])) };
        }),
      );
      const home = namespaceOf('self');
      const attacher = new Attacher(replacer, lxcfs.runDir);
      const descriptors = readdirSync('/proc/self/fd').length;
      const threads = readdirSync('/proc/self/task').length;
      for (let i = 0; i < heals; i++) {
        const live = lives[i % 2] as (typeof lives)[0];
        attacher.setSources(live.sources);
        const [{ readFile }] = await Promise.all([import('node:fs/promises'), attacher.attachAll()]);
        expect(new Set(container.lxcfsMounts().map(({ device }) => device))).toEqual(new Set([live.device]));
        // The pool's threads and this one.
        const own = await Promise.all(Array.from({ length: 8 }, () => readFile('/proc/self/mountinfo', 'latin1')));
        for (const table of own) expect(table).toContain(rig.dir);
        expect(readFileSync('/proc/thread-self/mountinfo', 'latin1')).toContain(rig.dir);
        expect(namespaceOf('thread-self')).toBe(home);
      }
      for (const task of readdirSync('/proc/self/task')) expect(namespaceOf(`self/task/${task}`)).toBe(home);
      expect(readdirSync('/proc/self/fd')).toHaveLength(descriptors);
      expect(readdirSync('/proc/self/task')).toHaveLength(threads);
      expectNoError(container);
    } finally {
      await replacer.close();
    }
  });
});
