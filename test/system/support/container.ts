import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { findHierarchies } from '../../../src/linux/device-cgroup/hierarchy.ts';
import { type Rig, run } from './rig.ts';

export interface ContainerMount {
  readonly source: string;
  readonly target: string;
  /** As the kubelet has them set: `None` is private, `HostToContainer` rslave, `Bidirectional` rshared. */
  readonly propagation?: 'private' | 'rslave' | 'rshared';
  readonly readOnly?: boolean;
}

export interface ContainerOptions {
  readonly mounts?: readonly ContainerMount[];
  /** Root is uid 100000 outside. */
  readonly userNamespace?: boolean;
  readonly privileged?: boolean;
  /** Its devices are governed by cgroup v2, also on a machine with v1: there in a mount namespace with v2 alone. */
  readonly unified?: boolean;
  /** What it runs. */
  readonly args?: readonly string[];
  /** Its cgroup, from the root of the hierarchy. Default: one of its own. */
  readonly cgroupsPath?: string;
}

const DEFAULT_CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
].map((name) => `CAP_${name}`);
const NAMESPACES = ['pid', 'ipc', 'uts', 'mount', 'network'];

/** A mount namespace in which the machine has cgroup v2 only, for a runtime that goes by what is mounted. */
export const UNIFIED = `mount --make-rprivate / && umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"`;

let containers = 0;

/** A running runc container with busybox for a root file system, and the capabilities that containers have by default. */
export class Container {
  readonly id: string;
  /** The directory of the cgroup that governs its devices. */
  readonly cgroup: string;
  readonly #state: string;
  readonly #command: readonly string[];

  constructor(
    rig: Rig,
    {
      mounts = [],
      userNamespace = false,
      privileged = false,
      unified = false,
      args = ['sleep', '100000'],
      cgroupsPath,
    }: ContainerOptions = {},
  ) {
    this.id = `hotmount-${process.pid}-${containers++}`;
    this.#state = rig.path('runc');
    const { v1, v2 } = findHierarchies();
    const other = unified && v1 !== undefined;
    this.#command = [...(other ? ['unshare', '-m', 'sh', '-c', UNIFIED] : []), 'runc', '--root', this.#state];
    const path = cgroupsPath ?? (unified ? `/${this.id}-pod/${this.id}` : `/${this.id}`);
    this.cgroup = `${(unified ? v2 : (v1 ?? v2))?.directory}${path}`;
    const bundle = rig.path(this.id);
    mkdirSync(bundle);
    cpSync(rootfs(rig), `${bundle}/rootfs`, { recursive: true, verbatimSymlinks: true });
    for (const { target } of mounts) mkdirSync(`${bundle}/rootfs${target}`, { recursive: true });
    if (userNamespace) run('chown', '-R', '100000:100000', `${bundle}/rootfs`);
    const capabilities = privileged ? [...DEFAULT_CAPABILITIES, 'CAP_SYS_ADMIN'] : DEFAULT_CAPABILITIES;
    const spec = {
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args,
        env: ['PATH=/bin'],
        cwd: '/',
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        noNewPrivileges: true,
      },
      root: { path: 'rootfs' },
      hostname: this.id,
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
        ...mounts.map(({ source, target, propagation = 'private', readOnly = false }) => ({
          destination: target,
          type: 'bind',
          source,
          options: ['rbind', propagation, ...(readOnly ? ['ro'] : [])],
        })),
      ],
      linux: {
        namespaces: [...NAMESPACES, ...(userNamespace ? ['user'] : [])].map((type) => ({ type })),
        ...(userNamespace ? { uidMappings: MAPPING, gidMappings: MAPPING } : {}),
        ...(mounts.some(({ propagation }) => propagation === 'rshared') ? { rootfsPropagation: 'rshared' } : {}),
        resources: { devices: [{ allow: privileged, access: 'rwm' }] },
        cgroupsPath: path,
      },
    };
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    rig.onClose('process', () => this.stop());
    // What the container inherits must not be a pipe of ours: it would stay open as long as the container lives.
    const log = `${bundle}/runc.log`;
    try {
      const [program = '', ...rest] = [...this.#command, '--log', log, 'run', '-d', '-b', bundle, this.id];
      execFileSync(program, rest, { stdio: 'ignore' });
    } catch (error) {
      throw new Error(`runc: ${existsSync(log) ? readFileSync(log, 'utf8') : ''}`, { cause: error });
    }
  }

  /** A process in it. */
  get pid(): number {
    return Number(JSON.parse(this.#runc('state', this.id)).pid);
  }

  /** Runs a shell script in it and returns what it prints. @throws with its stderr */
  sh(script: string): string {
    return this.#runc('exec', this.id, 'sh', '-c', script);
  }

  /** The same as another user. @throws with its stderr */
  shAs(uid: number, script: string): string {
    return this.#runc('exec', '--user', `${uid}:${uid}`, this.id, 'sh', '-c', script);
  }

  /** Starts a shell script in it that goes on running; what it has printed so far can be asked for. */
  start(script: string): () => string {
    const [program = '', ...rest] = [...this.#command, 'exec', this.id, 'sh', '-c', script];
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    return () => output;
  }

  sees(path: string): boolean {
    return this.sh(`test -e '${path}' && echo yes || echo no`) === 'yes';
  }

  stop(): void {
    if (!existsSync(`${this.#state}/${this.id}`)) return;
    this.#runc('delete', '--force', this.id);
    const pod = dirname(this.cgroup);
    if (pod.endsWith(`/${this.id}-pod`)) removeCgroup(pod);
  }

  #runc(...args: string[]): string {
    const [program = '', ...rest] = [...this.#command, ...args];
    return run(program, ...rest);
  }
}

/** A runtime returns some moments before the kernel has let go of the cgroup. */
function removeCgroup(path: string): void {
  for (let attempt = 0; existsSync(path); attempt++) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (attempt === 100) throw error;
      run('sleep', '0.02');
    }
  }
}

/** Of a user namespace: root is uid 100000 outside. */
export const MAPPING = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

function rootfs(rig: Rig): string {
  const path = rig.path('rootfs');
  if (existsSync(path)) return path;
  for (const dir of ['', 'bin', 'proc', 'dev', 'tmp']) mkdirSync(`${path}/${dir}`);
  const busybox = run('sh', '-c', 'command -v busybox');
  copyFileSync(busybox, `${path}/bin/busybox`);
  for (const applet of run(busybox, '--list').split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', `${path}/bin/${applet}`);
  }
  chmodSync(rig.dir, 0o755);
  return path;
}
