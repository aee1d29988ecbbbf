import { spawn } from 'node:child_process';
import { lstatSync, mkdirSync, readlinkSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Rig, run } from './rig.ts';

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
/** The programs of the node stand in for those of an image. */
const IMAGE = ['/bin', '/sbin', '/lib', '/lib64', '/usr', '/etc'];
/** What the daemon needs; the chart's `privileged` gives all. */
export const CAPABILITIES = [
  'SYS_ADMIN',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SETUID',
  'SETGID',
  'SETPCAP',
  'MKNOD',
  'CHOWN',
  'FOWNER',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'KILL',
].map((name) => `CAP_${name}`);

export interface PodOptions {
  /** Of hotmount. */
  readonly args: readonly string[];
  readonly runDir: string;
  /** `mountPropagation` of the run dir: `rshared` is Bidirectional. */
  readonly propagation: 'rshared' | 'rslave';
  /** Files and directories of the node that it has at the same path, read-only. */
  readonly readable?: readonly string[];
  /** `readOnlyRootFilesystem`. */
  readonly readOnlyRoot?: boolean;
}

let pods = 0;

/** A command of hotmount in a container with the node's PID namespace and all devices, as a DaemonSet has it started. */
export class Pod {
  readonly id = `hotmount-pod-${process.pid}-${pods++}`;
  readonly #runc: readonly string[];
  log = '';

  constructor(rig: Rig, { args, runDir, propagation, readable = [], readOnlyRoot = false }: PodOptions) {
    const bundle = rig.path(this.id);
    const rootfs = `${bundle}/rootfs`;
    mkdirSync(`${rootfs}/run`, { recursive: true });
    const links = IMAGE.filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink());
    for (const path of links) symlinkSync(readlinkSync(path), rootfs + path);
    const sources = [
      ...IMAGE.filter((path) => !links.includes(path)),
      dirname(realpathSync(process.execPath)),
      CHECKOUT,
      realpathSync(`${CHECKOUT}/node_modules`),
    ];
    const spec = {
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args: [realpathSync(process.execPath), `${CHECKOUT}/src/cli.ts`, ...args],
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        cwd: '/',
        capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      },
      root: { path: 'rootfs', readonly: readOnlyRoot },
      hostname: this.id,
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'rslave', 'ro'] },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755', 'size=64k'] },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777', 'size=16m'] },
        ...[...sources, ...readable].map((path) => ({
          destination: path,
          type: 'bind',
          source: path,
          options: ['rbind', 'ro'],
        })),
        { destination: runDir, type: 'bind', source: runDir, options: ['rbind', propagation] },
      ],
      linux: {
        devices: [{ path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666 }],
        namespaces: ['ipc', 'uts', 'mount'].map((type) => ({ type })),
        rootfsPropagation: propagation,
        resources: { devices: [{ allow: true, access: 'rwm' }] },
        cgroupsPath: `/${this.id}`,
      },
    };
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    this.#runc = ['--root', rig.path('runc')];
    rig.onClose('process', () => this.remove());
    const child = spawn('runc', [...this.#runc, 'run', '-b', bundle, this.id], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
  }

  /** Runs a command of hotmount in it. @throws with its stderr where it fails */
  exec(...args: readonly string[]): string {
    return run(
      'runc',
      ...this.#runc,
      'exec',
      this.id,
      realpathSync(process.execPath),
      `${CHECKOUT}/src/cli.ts`,
      ...args,
    );
  }

  /** Ends it, and everything that it has started. */
  remove(): void {
    run('runc', ...this.#runc, 'delete', '--force', this.id);
  }
}

/** A run dir on a shared mount, as /run is: runc makes private what its container's root file system lies on. */
export function sharedRunDir(rig: Rig): string {
  const path = rig.path('run');
  mkdirSync(path);
  run('mount', '-t', 'tmpfs', 'run', path);
  run('mount', '--make-shared', path);
  return path;
}
