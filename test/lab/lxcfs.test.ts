import { expect, onTestFinished, test, vi } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { LIMIT_KB, startReader, startSupervisor } from './guest-lxcfs.ts';
import { DEADLINE, RUN_DIR } from './guest-node.ts';

const TIMEOUT = 900_000;
/** What a lost lxcfs gives: ENOTCONN, ECONNABORTED, EIO. */
const LOST = /not connected|connection abort|I\/O error/i;

describeInLab('lxcfs on a pure cgroup v2 and Linux 6.1, which cannot mount beneath', (lab) => {
  test(
    'is put in place again in running containers and in nested user namespaces, and the node’s values where there is none',
    async () => {
      const supervisor = await startSupervisor(lab());
      await supervisor.said('lxcfs is ready', 2);
      const readers = [await startReader(lab(), 'plain', false), await startReader(lab(), 'mapped', true)];
      const nested = lab().spawn(
        `exec unshare --mount --propagation private sh -c 'touch /tmp/nested && mount --bind ${RUN_DIR}/lxcfs/proc/meminfo /tmp/nested && exec unshare --user --map-root-user --mount --propagation unchanged sleep 100000'`,
      );
      onTestFinished(() => void nested.kill('SIGKILL'));
      const nestedPid = String(await nested.pid);
      await lab().waitUntil(`grep -q lxcfs /proc/${nestedPid}/mountinfo && grep -q 100000 /proc/${nestedPid}/cmdline`);

      /** Of what is ours in a container: device, mount point, options and type. */
      const ours = (pid: string) =>
        lab().sh(
          `sed -n 's|^[0-9]* [0-9]* \\([0-9:]*\\) [^ ]* \\(/proc/[a-z]*\\) \\([^ ]*\\) .*- \\([^ ]*\\) hotmount .*|\\1 \\2 \\3 \\4|p' /proc/${pid}/mountinfo | sort`,
        );
      const published = () => lab().sh(`readlink ${RUN_DIR}/lxcfs`);
      const deviceOf = (path: string, pid = 'self') =>
        lab().sh(`grep ' ${path} ' /proc/${pid}/mountinfo | cut -d' ' -f3 | xargs`);
      /** Every file is there once, with its flags, from the published lxcfs. What is locked stays, with one live file on it. */
      const expectWhole = async (type = 'fuse.lxcfs'): Promise<void> => {
        const live = type === 'proc' ? '[0-9:]+' : await deviceOf(`${RUN_DIR}/${await published()}`);
        for (const [i, { pid }] of readers.entries()) {
          const line = (file: string) => `${live} /proc/${file} ${i === 0 ? 'ro' : 'rw'},nosuid,nodev,relatime ${type}`;
          expect(await ours(pid)).toMatch(new RegExp(`^${line('meminfo')}\n${line('uptime')}$`));
        }
        expect(await deviceOf('/tmp/nested', nestedPid)).toMatch(new RegExp(`^([0-9:]+ )?${live}$`));
      };
      const whole = (type?: string) => vi.waitFor(() => expectWhole(type), { timeout: DEADLINE, interval: 500 });
      const reads = (what: string) =>
        lab().waitUntil(readers.map(({ log }) => `tail -n 1 ${log} | grep -q 'MemTotal: *${what} kB'`).join(' && '), {
          timeoutMs: DEADLINE,
        });
      const kill = (instance: string) => lab().sh(`kill -9 $(pgrep -f '^[^ ]*lxcfs .*${RUN_DIR}/${instance}$')`);
      const own = String(LIMIT_KB);
      await reads(own);
      await whole();

      for (let losses = 1; losses <= 3; losses++) {
        const before = await published();
        await kill(before);
        await lab().waitUntil(`[ $(readlink ${RUN_DIR}/lxcfs) != ${before} ]`, { timeoutMs: DEADLINE });
        await whole();
        await reads(own);
        await supervisor.said('lxcfs is ready', 2 + losses);
      }

      const before = await published();
      await kill('.lxcfs/[0-9]*/mnt');
      await lab().waitUntil(`[ $(readlink ${RUN_DIR}/lxcfs) != ${before} ]`, { timeoutMs: DEADLINE });
      await supervisor.said('lxcfs is ready', 7);
      await whole();
      await reads(own);

      await lab().sh('mv /usr/bin/lxcfs /usr/bin/not-lxcfs');
      onTestFinished(async () => void (await lab().run('mv /usr/bin/not-lxcfs /usr/bin/lxcfs')));
      await kill('.lxcfs/[0-9]*/mnt');
      await whole('proc');
      const node = await lab().sh(`sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo`);
      await reads(node);

      await lab().sh('mv /usr/bin/not-lxcfs /usr/bin/lxcfs');
      await supervisor.said('lxcfs is ready', 9);
      await whole();
      await reads(own);

      for (const { log } of readers) {
        for (const line of (await lab().sh(`cat ${log}`)).split('\n')) {
          expect(line).toMatch(new RegExp(`^MemTotal: *(${LIMIT_KB}|${node}) kB$|${LOST.source}`, 'i'));
        }
      }
      expect(supervisor.process.stdout + supervisor.process.stderr).not.toContain('could not be put in place');
    },
    TIMEOUT,
  );
});
