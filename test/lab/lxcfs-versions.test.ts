import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { treeOf } from '../lxcfs-trees.ts';
import { describeWithQemu } from './describe-in-lab.ts';
import { LIMIT_KB, lxcfsStatus, startReader, startSupervisor } from './guest-lxcfs.ts';
import { DEADLINE } from './guest-node.ts';
import { type Lab, startLab } from './lab.ts';

const TIMEOUT = 600_000;
const TREES = '/tmp/lxcfs-trees';

/** As systems were before cgroup v2: each controller a hierarchy of its own. Before any cgroup has been made, v2 gives them back. */
const TO_V1 = `
cd /sys/fs/cgroup && for name in $(cat cgroup.controllers); do echo -$name > cgroup.subtree_control; done; cd /
umount -l /sys/fs/cgroup && mount -t tmpfs cgroup /sys/fs/cgroup
for name in cpuset cpu,cpuacct memory blkio devices freezer pids; do mkdir /sys/fs/cgroup/$name; mount -t cgroup -o $name cgroup /sys/fs/cgroup/$name; done
ln -s cpu,cpuacct /sys/fs/cgroup/cpu; ln -s cpu,cpuacct /sys/fs/cgroup/cpuacct`;

describeWithQemu('lxcfs 5.0, 6.0 and 7.0 on cgroup v1', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ cpus: 2 });
    await lab.sh(TO_V1);
  }, TIMEOUT);
  afterAll(() => lab?.stop());

  test(
    'are offered while 5.0 serves, 6.0 takes over with no reader told another value, and is put in place again where it is lost',
    async () => {
      const settlesOn = (version: string) =>
        vi.waitFor(async () => expect(await lxcfsStatus(lab)).toMatchObject({ settled: true, program: { version } }), {
          timeout: DEADLINE,
          interval: 1000,
        });
      await lab.sh(`mkdir ${TREES}`);
      await startSupervisor(lab, 'lxcfs --check-every 5', `export HOTMOUNT_LXCFS=${TREES}; exec`);
      await settlesOn('5.0.3');
      const { log } = await startReader(lab, 'reader', false);
      const readsItsLimit = () =>
        lab.waitUntil(`tail -n 1 ${log} | grep -q 'MemTotal: *${LIMIT_KB} kB'`, { timeoutMs: DEADLINE });
      await readsItsLimit();
      await lab.sh(`ln -s ${treeOf('trixie')} ${TREES}/trixie; ln -s ${treeOf('sid')} ${TREES}/sid`);
      await settlesOn('6.0.4');
      // It prints what is new to it.
      expect(await lab.sh(`wc -l < ${log}`)).toBe('1');
      await lab.sh(`kill -9 $(pgrep '^lxcfs$')`);
      await vi.waitFor(async () => expect((await lxcfsStatus(lab)).restarts).toBeGreaterThan(0), {
        timeout: DEADLINE,
        interval: 500,
      });
      await settlesOn('6.0.4');
      await readsItsLimit();
    },
    TIMEOUT,
  );
});
