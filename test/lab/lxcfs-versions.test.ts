import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { NodeStatus } from '../../src/node/status.ts';
import { SUITES, treeOf } from '../system/lxcfs/versions.ts';
import { describeWithQemu } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR } from './guest-node.ts';
import { type Lab, startLab } from './lab.ts';

const TIMEOUT = 300_000;
const OPTIONS = ['nsdelegate', 'memory_recursiveprot'];

type Lxcfs = Extract<NonNullable<NodeStatus['lxcfs']>, { ready: boolean }>;

describeWithQemu('lxcfs on a pure cgroup v2 with mount options', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ cpus: 2 });
  }, TIMEOUT);
  afterAll(() => lab?.stop());

  const setOptions = () => lab.sh(`mount -o remount,${OPTIONS.join(',')} /sys/fs/cgroup`);
  const options = async () => (await lab.sh(`grep ' /sys/fs/cgroup cgroup2 ' /proc/mounts`)).split(/[ ,]/);

  /** As in a pod: in a cgroup below the root, which is all that it sees of them. */
  async function start(trees: string, policy = '{}'): Promise<Lxcfs> {
    await lab.sh(`mkdir -p /sys/fs/cgroup/pod && echo '+cpu +memory' > /sys/fs/cgroup/cgroup.subtree_control`);
    await lab.writeFile('/tmp/lxcfs-policy.yaml', `{apiVersion: hotmount.io/v1alpha1, kind: Policy, lxcfs: ${policy}}`);
    const command = `node src/cli.ts lxcfs --policy /tmp/lxcfs-policy.yaml --run-dir ${RUN_DIR} --check-every 60`;
    const process = lab.spawn(
      `echo 0 > /sys/fs/cgroup/pod/cgroup.procs && HOTMOUNT_LXCFS=${trees} exec unshare --cgroup ${command}`,
    );
    onTestFinished(async () => {
      process.kill('SIGTERM');
      await process.exited;
      await lab.sh(`node src/cli.ts node --cleanup --run-dir ${RUN_DIR}`, { timeoutMs: DEADLINE });
    }, DEADLINE);
    await process.waitForOutput(/(?:"msg":"lxcfs is ready"[\s\S]*){2}/, DEADLINE);
    const status = await lab.sh(`curl -s --unix-socket ${RUN_DIR}/lxcfs.sock http://localhost/status`);
    return JSON.parse(status) as Lxcfs;
  }

  for (const suite of ['installed', ...SUITES] as const) {
    test(
      `of ${suite === 'installed' ? 'this machine' : suite} keeps them, and views that tell the node’s values are found`,
      async () => {
        await setOptions();
        const trees = '/tmp/trees';
        await lab.sh(`rm -rf ${trees}; mkdir ${trees}`);
        if (suite !== 'installed') await lab.sh(`ln -s ${treeOf(suite)} ${trees}/${suite}`);
        const status = await start(trees);
        expect(await options()).toEqual(expect.arrayContaining(OPTIONS));
        expect(status.program?.path).toMatch(suite === 'installed' ? /^\/usr\/bin\/lxcfs$/ : suite);
        const { program, untrueViews, views } = status;
        const isNew = Number.parseInt(program?.version ?? '', 10) >= 7;
        expect(untrueViews.map(({ view }) => view)).toEqual(isNew ? [] : ['stat']);
        expect(views).toContain('stat');
      },
      TIMEOUT,
    );
  }

  test(
    'gives the node’s file in place of a view that tells the node’s values, where the policy says so',
    async () => {
      const status = await start('/nowhere', '{ onUntrue: node }');
      expect(status.untrueViews).toEqual([{ view: 'stat', why: '2 processors, where a reader may use 1' }]);
      expect(status.views).not.toContain('stat');
      expect(await lab.sh(`stat -f -c %T ${RUN_DIR}/lxcfs/proc/stat ${RUN_DIR}/lxcfs/proc/meminfo`)).toBe(
        'proc\nfuseblk',
      );
    },
    TIMEOUT,
  );

  test(
    'has options set again that it has cleared all the same',
    async () => {
      await setOptions();
      await lab.sh('unshare --mount mount -t cgroup2 cgroup2 /mnt');
      expect(await options()).not.toContain('nsdelegate');
      const log = '{ warn: (_, text) => console.log(text), error: (_, text) => console.log(text) }';
      const restore = `import('/' + process.cwd() + '/src/node/lxcfs/cgroup-options.ts').then((m) => m.restoreCgroupOptions(${JSON.stringify(OPTIONS)}, ${log}))`;
      await lab.writeFile('/tmp/restore.mjs', restore);
      expect(await lab.sh('node /tmp/restore.mjs')).toMatch(/they are set again/);
      expect(await options()).toEqual(expect.arrayContaining(OPTIONS));
    },
    TIMEOUT,
  );
});
