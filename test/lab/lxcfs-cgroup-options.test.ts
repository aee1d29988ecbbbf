import { afterAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { LIMIT_KB, startReader, startSupervisor } from './guest-lxcfs.ts';
import { DEADLINE, RUN_DIR } from './guest-node.ts';

const TIMEOUT = 600_000;
const OPTIONS = ['memory_recursiveprot', 'nsdelegate'];
const POD = '/sys/fs/cgroup/pod';

/** As a container runtime starts a pod with `privileged` and `hostPID`: of the cgroups it sees its own and what is below. */
const IN_POD = `mkdir -p ${POD} && echo 0 > ${POD}/cgroup.procs && exec unshare --cgroup --mount --propagation unchanged bash -c '
  mount --make-rprivate /sys && umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' bash`;

describeInLab('lxcfs where cgroup2 is mounted with options', (lab) => {
  beforeEach(async () => void (await lab().sh(`mount -o remount,${OPTIONS.join(',')} /sys/fs/cgroup`)));
  afterAll(async () => void (await lab().run('mount -o remount,nsdelegate /sys/fs/cgroup')));

  const options = async (): Promise<string[]> => {
    const line = await lab().sh(`grep '^cgroup2 /sys/fs/cgroup ' /proc/1/mounts`);
    return OPTIONS.filter((option) => line.split(/[ ,]/).includes(option));
  };

  test.each([
    { by: '`hotmount node` on the node', command: 'node --lxcfs auto --no-csi --metrics-port 0', setting: 'exec' },
    { by: '`hotmount lxcfs` in a pod', command: 'lxcfs --check-every 60', setting: IN_POD },
  ])(
    'is started and replaced by $by, serves, and leaves them as they are',
    async ({ command, setting }) => {
      onTestFinished(async () => void (await lab().run(`rmdir ${POD}`)));
      const supervisor = await startSupervisor(lab(), command, setting);
      await supervisor.said('lxcfs is ready', 2);
      expect(await options()).toEqual(OPTIONS);
      const { log } = await startReader(lab(), 'reader', false);
      const readsItsLimit = () =>
        lab().waitUntil(`tail -n 1 ${log} | grep -q 'MemTotal: *${LIMIT_KB} kB'`, { timeoutMs: DEADLINE });
      await readsItsLimit();

      const active = await lab().sh(`readlink ${RUN_DIR}/lxcfs`);
      await lab().sh(`kill -9 $(pgrep -f '^[^ ]*lxcfs .*${RUN_DIR}/${active}$')`);
      await supervisor.said('lxcfs is ready', 3);
      await readsItsLimit();
      expect(await options()).toEqual(OPTIONS);
      expect(supervisor.process.stdout + supervisor.process.stderr).not.toMatch(/mount options|runs without/);
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
