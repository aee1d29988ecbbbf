import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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

let containers = 0;

/** A running runc container with busybox for a root file system, and the capabilities that containers have by default. */
export class Container {
  readonly id: string;
  readonly #state: string;

  constructor(rig: Rig, { mounts = [], userNamespace = false, privileged = false }: ContainerOptions = {}) {
    this.id = `hotmount-${process.pid}-${containers++}`;
    this.#state = rig.path('runc');
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
        args: ['sleep', '100000'],
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
        cgroupsPath: `/${this.id}`,
      },
    };
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    rig.onClose('process', () => this.stop());
    // What the container inherits must not be a pipe of ours: it would stay open as long as the container lives.
    const log = `${bundle}/runc.log`;
    try {
      execFileSync('runc', ['--root', this.#state, '--log', log, 'run', '-d', '-b', bundle, this.id], {
        stdio: 'ignore',
      });
    } catch (error) {
      throw new Error(`runc: ${existsSync(log) ? readFileSync(log, 'utf8') : ''}`, { cause: error });
    }
  }

  /** A process in it. */
  get pid(): number {
    return Number(JSON.parse(run('runc', '--root', this.#state, 'state', this.id)).pid);
  }

  /** Runs a shell script in it and returns what it prints. @throws with its stderr */
  sh(script: string): string {
    return run('runc', '--root', this.#state, 'exec', this.id, 'sh', '-c', script);
  }

  /** Starts a shell script in it that goes on running; what it has printed so far can be asked for. */
  start(script: string): () => string {
    const child = spawn('runc', ['--root', this.#state, 'exec', this.id, 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
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
    if (existsSync(`${this.#state}/${this.id}`)) run('runc', '--root', this.#state, 'delete', '--force', this.id);
  }
}

const MAPPING = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

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
