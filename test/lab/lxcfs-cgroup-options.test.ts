import { afterAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { treeOf } from '../lxcfs-trees.ts';
import { describeInLab } from './describe-in-lab.ts';
import {
  IN_POD,
  LIMIT_KB,
  lxcfsStatus,
  POD_CGROUP,
  type SupervisorInGuest,
  startReader,
  startSupervisor,
} from './guest-lxcfs.ts';
import { DEADLINE, RUN_DIR } from './guest-node.ts';

const TIMEOUT = 600_000;
const OPTIONS = ['memory_recursiveprot', 'nsdelegate'];

describeInLab('lxcfs where cgroup2 is mounted with options', (lab) => {
  beforeEach(async () => void (await lab().sh(`mount -o remount,${OPTIONS.join(',')} /sys/fs/cgroup`)));
  afterAll(async () => void (await lab().run('mount -o remount,nsdelegate /sys/fs/cgroup')));

  const options = async (): Promise<string[]> => {
    const line = await lab().sh(`grep '^cgroup2 /sys/fs/cgroup ' /proc/1/mounts`);
    return OPTIONS.filter((option) => line.split(/[ ,]/).includes(option));
  };

  /** Ends the active lxcfs of 5.0.3 and waits until another has taken its place, and the reader its limit from it. */
  const expectReplaced = async (supervisor: SupervisorInGuest, log: string): Promise<void> => {
    const readsItsLimit = () =>
      lab().waitUntil(`tail -n 1 ${log} | grep -q 'MemTotal: *${LIMIT_KB} kB'`, { timeoutMs: DEADLINE });
    await readsItsLimit();
    const active = await lab().sh(`readlink ${RUN_DIR}/lxcfs`);
    await lab().sh(`kill -9 $(pgrep -f '^[^ ]*lxcfs .*${RUN_DIR}/${active}$')`);
    await supervisor.said('lxcfs is ready', 3);
    await readsItsLimit();
    expect(await options()).toEqual(OPTIONS);
  };
  const expectUntouched = ({ process }: SupervisorInGuest) =>
    expect(process.stdout + process.stderr).not.toMatch(/mount options|runs without/);

  test(
    'is started and replaced by `hotmount node`, serves, and leaves them as they are',
    async () => {
      const supervisor = await startSupervisor(lab(), 'node --lxcfs auto --no-csi --metrics-port 0');
      await supervisor.said('lxcfs is ready', 2);
      expect(await options()).toEqual(OPTIONS);
      const { log } = await startReader(lab(), 'reader', false);
      await expectReplaced(supervisor, log);
      expectUntouched(supervisor);
    },
    TIMEOUT,
  );

  test(
    'leaves them as they are in a pod as well, and so do newer versions, which take over with no reader told another value',
    async () => {
      const trees = '/tmp/lxcfs-trees';
      const newer = { trixie: treeOf('trixie'), sid: treeOf('sid') };
      await lab().sh(`mkdir ${trees}`);
      onTestFinished(async () => void (await lab().run(`rmdir ${POD_CGROUP}; rm -r ${trees}`)));
      const setting = `export HOTMOUNT_LXCFS=${trees}; ${IN_POD}`;
      const supervisor = await startSupervisor(lab(), 'lxcfs --check-every 5', setting);
      await supervisor.said('lxcfs is ready', 2);
      expect(await options()).toEqual(OPTIONS);
      const { log } = await startReader(lab(), 'reader', false);
      await expectReplaced(supervisor, log);

      for (const [suite, tree] of Object.entries(newer)) {
        await lab().sh(`: > ${log}; ln -s ${tree} ${trees}/${suite}`);
        const takenOver = async () => {
          const { settled, program } = await lxcfsStatus(lab());
          const path = `${trees}/${suite}/usr/bin/lxcfs`;
          expect({ settled, program }).toMatchObject({ settled: true, program: { path } });
        };
        await vi.waitFor(takenOver, { timeout: DEADLINE, interval: 1000 });
        expect(await options()).toEqual(OPTIONS);
        // It prints what is new to it.
        expect(await lab().sh(`cat ${log}`)).toBe('');
      }
      expectUntouched(supervisor);
    },
    TIMEOUT,
  );

  test(
    'is started all the same where it cannot have a cgroup namespace, and what it clears is set again',
    async () => {
      const bin = '/tmp/no-cgroup-namespaces';
      onTestFinished(async () => void (await lab().run(`rm -r ${bin}`)));
      await lab().writeFile(
        `${bin}/unshare`,
        `#!/bin/sh\n[ "$1" != --cgroup ] || { echo 'no cgroup namespaces' >&2; exit 1; }\nexec /usr/bin/unshare "$@"\n`,
      );
      await lab().sh(`chmod +x ${bin}/unshare`);
      const supervisor = await startSupervisor(lab(), undefined, `PATH=${bin}:$PATH exec`);
      await supervisor.said('starting lxcfs cleared mount options of the node’s cgroup2: they are set again', 2);
      await supervisor.said('lxcfs is ready', 2);
      expect(supervisor.process.stdout + supervisor.process.stderr).toContain('no cgroup namespaces');
      expect(await options()).toEqual(OPTIONS);
    },
    TIMEOUT,
  );
});
