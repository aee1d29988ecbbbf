import { randomBytes, randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import type { GuestProcess } from './guest-process.ts';
import type { Lab } from './lab.ts';

/** What containerd gives a container that asks for nothing. */
const DEFAULT_CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** SELinux contexts. */
interface Labels {
  readonly process: string;
  readonly files: string;
}

const ROOTFS = '/tmp/pods/rootfs';
const DEADLINE = 240_000;

/** A runc container in the guest as the kubelet would have it: unprivileged, in a pod's cgroup, with one volume. */
export class PodContainer {
  readonly id = randomBytes(32).toString('hex');
  readonly podUid = randomUUID();
  readonly #lab: Lab;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  get cgroup(): string {
    return `/kubepods/burstable/pod${this.podUid}/${this.id}`;
  }

  /** Runs a busybox script in it, and gives what it prints. @throws Error with its stderr */
  sh(script: string): Promise<string> {
    return this.#lab.sh(EXEC(this.id), { env: { SCRIPT: script }, timeoutMs: DEADLINE });
  }

  /** The same as another user. @throws Error with its stderr */
  shAs(uid: number, script: string): Promise<string> {
    const command = `exec runc exec --user ${uid}:${uid} ${this.id} /bin/sh -c "$SCRIPT"`;
    return this.#lab.sh(command, { env: { SCRIPT: script }, timeoutMs: DEADLINE });
  }

  /** Starts a busybox script in it that goes on running. */
  spawn(script: string): GuestProcess {
    return this.#lab.spawn(EXEC(this.id), { env: { SCRIPT: script } });
  }
}

const EXEC = (id: string): string => `exec runc exec ${id} /bin/sh -c "$SCRIPT"`;

/**
 * Starts a container that has a class directory, as the webhook's volumeMount asks for: `HostToContainer`, `readOnly`. It is removed when
 * the test has finished.
 * @param source the class directory
 * @param options `labels`: of SELinux, as container-selinux has them; `withPrograms`: it sees the guest's own programs and /sys, read-only, to run them as Debian ships them
 */
export async function startPodContainer(
  lab: Lab,
  source: string,
  target = '/media',
  { withPrograms = false, labels }: { withPrograms?: boolean; labels?: Labels } = {},
): Promise<PodContainer> {
  const container = new PodContainer(lab);
  const bundle = `/tmp/pods/${container.id}`;
  onTestFinished(async () => {
    if (lab.running) await lab.run(`runc delete -f ${container.id}; rm -rf ${bundle}`, { timeoutMs: DEADLINE });
  });
  await lab.writeFile(
    `${bundle}/config.json`,
    JSON.stringify(specOf(container, source, target, withPrograms ? PROGRAMS : [], labels)),
  );
  await lab.sh(
    `[ -d ${ROOTFS} ] || { mkdir -p ${ROOTFS}/{bin,proc,dev,tmp,media,usr,lib,lib64,sys} && cp /bin/busybox ${ROOTFS}/bin/ && chroot ${ROOTFS} /bin/busybox --install -s /bin; }
     runc run -d -b ${bundle} ${container.id} > ${bundle}/log 2>&1 || { cat ${bundle}/log; false; }`,
    { timeoutMs: DEADLINE },
  );
  return container;
}

/** Debian's `/lib` is a link to `/usr/lib`. */
const PROGRAMS = [
  { destination: '/usr', source: '/usr' },
  { destination: '/lib', source: '/usr/lib' },
  { destination: '/lib64', source: '/usr/lib64' },
  { destination: '/sys', source: '/sys' },
].map((mount) => ({ ...mount, type: 'bind', options: ['rbind', 'rslave', 'ro'] }));

const specOf = (
  { id, cgroup }: PodContainer,
  source: string,
  target: string,
  more: readonly object[],
  labels: Labels | undefined,
): object => ({
  ociVersion: '1.0.2',
  process: {
    user: { uid: 0, gid: 0 },
    args: ['sleep', '100000'],
    env: ['PATH=/bin'],
    cwd: '/',
    capabilities: {
      bounding: DEFAULT_CAPABILITIES,
      effective: DEFAULT_CAPABILITIES,
      permitted: DEFAULT_CAPABILITIES,
    },
    noNewPrivileges: true,
    ...(labels && { selinuxLabel: labels.process }),
  },
  root: { path: ROOTFS, readonly: true },
  hostname: id.slice(0, 12),
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev'] },
    { destination: target, type: 'bind', source, options: ['rbind', 'rslave', 'ro'] },
    ...more,
  ],
  linux: {
    namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'].map((type) => ({ type })),
    resources: { devices: [{ allow: false, access: 'rwm' }] },
    cgroupsPath: cgroup,
    ...(labels && { mountLabel: labels.files }),
  },
});
