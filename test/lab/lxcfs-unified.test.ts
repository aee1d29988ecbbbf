import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { treeOf } from '../lxcfs-trees.ts';
import { SOAK } from '../settings.ts';
import { describeWithQemu } from './describe-in-lab.ts';
import { IN_POD, LIMIT_KB, lxcfsStatus, POD_CGROUP, startReader, startSupervisor } from './guest-lxcfs.ts';
import { RUN_DIR } from './guest-node.ts';
import { type Lab, startLab } from './lab.ts';

const TIMEOUT = 1_800_000;
/** ms, for what one version takes over, and each probe of it, in an emulated machine. */
const DEADLINE = 300_000;
const TREES = '/tmp/lxcfs-trees';
const OPTIONS = ['memory_recursiveprot', 'nsdelegate'];
const CGROUP = '/sys/fs/cgroup/resized';
const CPU1 = '/sys/devices/system/cpu/cpu1/online';

type Version = '5.0.3' | '6.0.4' | '7.0.0';

/** Views in which each tells a reader the node's values, or in some pods (docs/lxcfs.md). */
const WRONG: Readonly<Record<Version, readonly string[]>> = {
  '5.0.3': ['cpu in some pods', 'cpuinfo in some pods', 'meminfo in some pods', 'stat'],
  '6.0.4': ['cpu in some pods', 'cpuinfo in some pods', 'stat'],
  '7.0.0': ['stat'],
};

/** 5.0.3 is the machine's own. */
const SUITES = { '6.0.4': 'trixie', '7.0.0': 'sid' } as const;

const NAME = 'lxcfs 5.0, 6.0 and 7.0 on cgroup v2, in a pod of a node with two processors';
if (SOAK) describeWithQemu(NAME, tests);
else describe.skip(`${NAME} (skipped, because it takes minutes: npm run test:soak)`, tests);

function tests(): void {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ cpus: 2 });
    await lab.sh(`mount -o remount,${OPTIONS.join()} /sys/fs/cgroup && mkdir ${TREES}
      echo '+memory +cpu +cpuset' > /sys/fs/cgroup/cgroup.subtree_control`);
  }, TIMEOUT);
  afterAll(() => lab?.stop());

  const options = async (): Promise<string[]> => {
    const line = await lab.sh(`grep '^cgroup2 /sys/fs/cgroup ' /proc/1/mounts`);
    return OPTIONS.filter((option) => line.split(/[ ,]/).includes(option));
  };

  const serves = (version: Version) =>
    vi.waitFor(
      async () => {
        const { settled, program, untrueViews } = await lxcfsStatus(lab);
        expect({ settled, program }).toMatchObject({ settled: true, program: { version } });
        const wrong = untrueViews.map(({ view, isPartly }) => `${view}${isPartly ? ' in some pods' : ''}`);
        expect(wrong.toSorted()).toEqual(WRONG[version]);
      },
      { timeout: DEADLINE, interval: 1000 },
    );

  /** What a process in the cgroup is told: kB of memory, and processors by each of the views that show them. */
  const told = async () => {
    const read = `cd ${RUN_DIR}/lxcfs; sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' proc/meminfo
      grep -c ^processor proc/cpuinfo; cat sys/devices/system/cpu/online; grep -c '^cpu[0-9]' proc/stat`;
    const [meminfo, cpuinfo, cpu, stat] = (
      await lab.sh(`echo 0 > ${CGROUP}/cgroup.procs; exec unshare --pid --fork sh -c "$READ"`, { env: { READ: read } })
    ).split('\n');
    return { meminfo: Number(meminfo), cpuinfo: Number(cpuinfo), cpu, stat: Number(stat) };
  };

  /** Limits that kubelets change in running containers, and processors that come and go. Before 7.0, stat goes by the cpuset alone. */
  const follows = async (version: Version) => {
    const change = (file: string, value: string) => lab.sh(`echo '${value}' > ${CGROUP}/${file}`);
    // The kernel takes a processor that goes offline out of cpusets some time later (cpuset_hotplug_workfn).
    const expectTold = (meminfo: number, cpus: 1 | 2, inCpuset = cpus) =>
      vi.waitFor(
        async () =>
          expect(await told()).toEqual({
            meminfo: meminfo * 1024,
            cpuinfo: cpus,
            cpu: cpus === 1 ? '0' : '0-1',
            stat: version === '7.0.0' ? cpus : inCpuset,
          }),
        { timeout: DEADLINE, interval: 500 },
      );
    await lab.sh(`mkdir ${CGROUP}`);
    await change('memory.max', '64M');
    await change('cpu.max', '100000 100000');
    await expectTold(64, 1, 2);
    await change('memory.max', '96M');
    await change('cpu.max', '200000 100000');
    await expectTold(96, 2);
    await change('cpuset.cpus', '0');
    await expectTold(96, 1);
    await change('cpuset.cpus', '');
    await lab.sh(`echo 0 > ${CPU1}`);
    await expectTold(96, 1);
    await lab.sh(`echo 1 > ${CPU1}`);
    await change('memory.max', '48M');
    await expectTold(48, 2);
    await lab.waitUntil(`rmdir ${CGROUP}`);
  };

  test(
    'take over from one another, with no reader told another value; leave the options of cgroup2 alone; name what they tell wrong; follow limits that change',
    async () => {
      onTestFinished(async () => void (await lab.run(`rmdir ${POD_CGROUP}`)));
      const setting = `export HOTMOUNT_LXCFS=${TREES}; ${IN_POD}`;
      const supervisor = await startSupervisor(lab, 'lxcfs --check-every 5', setting);
      await serves('5.0.3');
      const { log } = await startReader(lab, 'reader', false);
      const readsItsLimit = () =>
        lab.waitUntil(`tail -n 1 ${log} | grep -q 'MemTotal: *${LIMIT_KB} kB'`, { timeoutMs: DEADLINE });
      await readsItsLimit();
      const { instances, restarts } = await lxcfsStatus(lab);
      await lab.sh(`kill -9 ${instances.find(({ role }) => role === 'active')?.pid}`);
      await vi.waitFor(async () => expect((await lxcfsStatus(lab)).restarts).toBeGreaterThan(restarts), {
        timeout: DEADLINE,
        interval: 500,
      });
      await serves('5.0.3');
      await readsItsLimit();
      expect(await options()).toEqual(OPTIONS);
      await follows('5.0.3');

      // More than a reader that has just been started can have used: of 7.0's stat, only the figures are the node's.
      await lab.waitUntil(`awk '/^cpu / { exit $2 + $3 + $4 < 2000 }' /proc/stat`, { timeoutMs: DEADLINE });
      await lab.sh(`: > ${log}`);
      const expectUnchanged = async () => {
        expect(await options()).toEqual(OPTIONS);
        // The reader prints what is new to it.
        expect(await lab.sh(`tr -d '\\0' < ${log}`)).toBe('');
      };
      for (const version of ['6.0.4', '7.0.0'] as const) {
        await lab.sh(`ln -s ${treeOf(SUITES[version])} ${TREES}/${version}`);
        await serves(version);
        await follows(version);
        await expectUnchanged();
      }
      for (const [gone, version] of [
        ['7.0.0', '6.0.4'],
        ['6.0.4', '5.0.3'],
      ] as const) {
        await lab.sh(`rm ${TREES}/${gone}`);
        await serves(version);
        await expectUnchanged();
      }
      expect(supervisor.process.stdout + supervisor.process.stderr).not.toMatch(/mount options|runs without/);
    },
    TIMEOUT,
  );
}
