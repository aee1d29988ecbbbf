import { afterEach, beforeEach, describe, it } from 'vitest';
import type { LxcfsInstanceStatus } from '../../src/node/lxcfs/status.ts';
import { SEED } from '../settings.ts';
import { EACH_CALL_TIMEOUT, FaultyProgram, SELECTIONS } from './faults/each-call.ts';
import { Faults } from './faults/faults.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, ownSize, sized, untilOpens } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { Rig } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(21);

describeSystem('where it fails once,', ['gcc', 'runc', 'busybox', 'zram', 'lxcfs'], () => {
  let rig: Rig;
  let faults: Faults;
  beforeEach(() => {
    rig = new Rig();
    faults = new Faults(rig);
  });
  afterEach(() => rig.close());

  describe.each(SELECTIONS)('%s', (_, functions) => {
    it(
      `leaves disks and devices right, or ends the daemon with its cause (seed ${SEED})`,
      async () => {
        const policy = `${rig.policy()}deviceClasses:\n  - {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}\n`;
        const daemon = await new Daemon(rig, { policy, env: faults.env }).start();
        const container = devicePod(rig, daemon, ['raw']);
        const program = new FaultyProgram(daemon, faults);
        const opens = (name: string, how: 'rw' | 'gone') => () => untilOpens(container, name, how).then(() => true);

        await program.failEachCall(functions, async () => {
          const stick = new LoopDisk(rig, { label: 'STICK' });
          stick.plug();
          const raw = new ZramDisk(rig, { size: SIZE });
          const mounted = 'media-ro/test/STICK,media/test/STICK';
          await program.reached('the disk is mounted', () => daemon.mountPoints().join() === mounted);
          await program.reached('the device opens', opens(`raw/${raw.name}`, 'rw'));
          stick.pull();
          await raw.unplugWhenFree();
          await program.reached('the disk is gone', () => daemon.mountPoints().length === 0);
          await program.reached('the device is gone', opens(`raw/${raw.name}`, 'gone'));
        });
      },
      EACH_CALL_TIMEOUT,
    );

    it(
      `leaves the views of lxcfs right, or ends its supervisor with its cause (seed ${SEED})`,
      async () => {
        const lxcfs = new LxcfsService(rig);
        lxcfs.env = faults.env;
        await lxcfs.start();
        const container = new ReadingContainer(rig, { source: lxcfs.source, memory: 48 }).start();
        const program = new FaultyProgram(lxcfs, faults);

        await program.failEachCall(functions, async () => {
          let active: LxcfsInstanceStatus | undefined;
          await program.reached('there is a standby', async () => {
            const { instances = [] } = (await lxcfs.status()) ?? {};
            active = instances.find(({ role }) => role === 'active');
            return active !== undefined && instances.some(({ role }) => role === 'standby');
          });
          const [lost] = devicesOf(container);
          process.kill(active?.pid as number, 'SIGKILL');
          await program.reached('the container reads from another instance', () => {
            const [device, ...others] = devicesOf(container);
            const last = container.observations().findLast(({ file }) => file === '/proc/meminfo');
            const mounts = container.lxcfsMounts();
            const isWhole =
              mounts.length === container.files.length && mounts.every(({ mountPoint, root }) => mountPoint === root);
            return device !== lost && others.length === 0 && isWhole && last?.value === container.memTotal;
          });
        });
      },
      EACH_CALL_TIMEOUT,
    );
  });
});

/** Of the file systems that its views are mounted from. */
const devicesOf = (container: ReadingContainer): string[] => [
  ...new Set(container.lxcfsMounts().map(({ device }) => device)),
];
