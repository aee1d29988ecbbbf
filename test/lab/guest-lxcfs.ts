import { onTestFailed, onTestFinished } from 'vitest';
import type { LxcfsStatus } from '../../src/node/lxcfs/status.ts';
import { DEADLINE, RUN_DIR } from './guest-node.ts';
import type { GuestProcess } from './guest-process.ts';
import type { Lab } from './lab.ts';

export interface SupervisorInGuest {
  /** Waits for the nth line of its log with this message. */
  said(message: string, times: number): Promise<void>;
  process: GuestProcess;
}

/** What the supervisor says of itself. @throws Error where there is none, or it does not answer */
export const lxcfsStatus = async (lab: Lab): Promise<LxcfsStatus> => JSON.parse(await lab.sh(STATUS)) as LxcfsStatus;

const STATUS = `curl -s --unix-socket ${RUN_DIR}/lxcfs.sock http://localhost/status`;

/**
 * Starts one that supervises lxcfs in the guest. When the test has finished, it is stopped and all that it left is cleaned up.
 * @param command `node`, which starts a supervisor of its own, or `lxcfs`, with flags
 * @param setting what executes it, in bash
 */
export async function startSupervisor(
  lab: Lab,
  command = 'lxcfs --check-every 60',
  setting = 'exec',
): Promise<SupervisorInGuest> {
  // Else an lxcfs that has no processor for a while counts as one that hangs.
  const env = { HOTMOUNT_SLOWNESS: '10' };
  const process = lab.spawn(`${setting} node src/cli.ts ${command} --run-dir ${RUN_DIR}`, { env });
  onTestFailed(
    () => void globalThis.process.stderr.write(`--- lxcfs' supervisor:\n${process.stdout}${process.stderr}---\n`),
  );
  onTestFinished(async () => {
    if (!lab.running) return;
    process.kill('SIGTERM');
    await process.exited;
    // `hotmount node` leaves its supervisor running.
    const stop = `pid=$(${STATUS} | sed 's/.*"supervisor":{[^}]*"pid":\\([0-9]*\\).*/\\1/'); [ -z "$pid" ] || { kill "$pid"; while [ -e "/proc/$pid" ]; do sleep 0.1; done; }`;
    await lab.sh(`${stop}; node src/cli.ts node --cleanup --run-dir ${RUN_DIR}`, { timeoutMs: DEADLINE });
  }, DEADLINE * 2);
  const said = async (message: string, times: number): Promise<void> => {
    await process.waitForOutput(new RegExp(`(?:"msg":"${message}[^]*){${times}}`), DEADLINE);
  };
  return { process, said };
}

export const POD_CGROUP = '/sys/fs/cgroup/pod';

/** A setting as a container runtime makes it for a pod with `privileged` and `hostPID`: of the cgroups it sees its own and what is below. */
export const IN_POD = `mkdir -p ${POD_CGROUP} && echo 0 > ${POD_CGROUP}/cgroup.procs && exec unshare --cgroup --mount --propagation unchanged bash -c '
  mount --make-rprivate /sys && umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' bash`;

/** What a reader may use. */
export const LIMIT_KB = 64 * 1024;

/** A container that prints what it reads first in /proc/meminfo, error messages too, whenever that is something else than before. */
export async function startReader(lab: Lab, id: string, userNamespace: boolean): Promise<{ pid: string; log: string }> {
  const bundle = `/tmp/${id}`;
  onTestFinished(async () => {
    if (lab.running) await lab.run(`runc delete -f ${id}; rm -rf ${bundle}`, { timeoutMs: DEADLINE });
  });
  const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  // runc 1.1 cannot bind an lxcfs file read-only into a container with users of its own.
  const flags = ['rbind', 'rprivate', 'nosuid', 'nodev', ...(userNamespace ? [] : ['ro'])];
  const spec = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: [
        '/bin/sh',
        '-c',
        'while :; do now=$(head -n 1 /proc/meminfo 2>&1); [ "$now" = "$last" ] || echo "$now"; last=$now; done',
      ],
      env: ['PATH=/bin'],
      cwd: '/',
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      ...['meminfo', 'uptime'].map((file) => ({
        destination: `/proc/${file}`,
        type: 'bind',
        source: `${RUN_DIR}/lxcfs/proc/${file}`,
        options: flags,
      })),
    ],
    linux: {
      namespaces: ['pid', 'mount', 'network', ...(userNamespace ? ['user'] : [])].map((type) => ({ type })),
      ...(userNamespace ? { uidMappings: mapping, gidMappings: mapping } : {}),
      resources: { memory: { limit: LIMIT_KB * 1024 } },
      cgroupsPath: `/${id}`,
    },
  };
  await lab.writeFile(`${bundle}/config.json`, JSON.stringify(spec));
  await lab.sh(
    `mkdir -p ${bundle}/rootfs/{bin,proc} && cp /bin/busybox ${bundle}/rootfs/bin/ && chroot ${bundle}/rootfs /bin/busybox --install -s /bin
     ${userNamespace ? `chown -R 100000:100000 ${bundle}/rootfs; chmod 755 ${bundle}` : ''}
     runc run -d -b ${bundle} ${id} > ${bundle}/log 2>&1 || { cat ${bundle}/log; false; }`,
    { timeoutMs: DEADLINE },
  );
  const pid = await lab.sh(`runc state ${id} | sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p'`, { timeoutMs: DEADLINE });
  return { pid, log: `${bundle}/log` };
}
