import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, readMountinfo } from '../../../src/linux/mountinfo.ts';
import { MAPPING } from '../support/container.ts';
import { type Rig, run } from '../support/rig.ts';

export interface ReadingOptions {
  /** Where lxcfs is mounted. */
  readonly source: string;
  /** Paths in the container, read from the same below `source`. */
  readonly files?: readonly string[];
  /** Those of them that it reads; all, where this is left out. */
  readonly read?: readonly string[];
  /** MiB. */
  readonly memory?: number;
  /** CPUs' worth of quota. */
  readonly cpus?: number;
  /** Root is uid 100000 outside. */
  readonly userNamespace?: boolean;
  readonly readOnlyMounts?: boolean;
  /** A directory of the node that it has at /shared, with what is mounted there later, and a busybox to mount from there. */
  readonly shared?: string;
  /** Of itself, and of its cgroup. Without: one that no other has. */
  readonly name?: string;
  /** Microseconds between two rounds of reading. */
  readonly pause?: number;
}

/** One thing that a reader has met: a value, or a negative errno. */
export interface Observation {
  /** ms, on the clock that `performance.now()` and the kernel share. */
  readonly at: number;
  readonly file: string;
  readonly value: number;
}

export const VIEWS = ['cpuinfo', 'meminfo', 'stat', 'uptime', 'loadavg', 'swaps', 'diskstats'].map((v) => `/proc/${v}`);
let containers = 0;

/** A container with limits, a read-only root and nothing in it but one static program, which reads what it has of lxcfs. */
export class ReadingContainer {
  readonly id: string;
  readonly files: readonly string[];
  /** kB: what MemTotal ought to be. */
  readonly memTotal: number;
  readonly readOnly: boolean;
  readonly #rig: Rig;
  readonly #bundle: string;
  readonly #output: string;

  constructor(rig: Rig, options: ReadingOptions) {
    const { source, memory = 64, cpus = 1, userNamespace = false, pause = 2000, shared } = options;
    this.id = options.name ?? `hotmount-lxcfs-${process.pid}-${containers++}`;
    this.files = options.files ?? VIEWS;
    const { read = this.files } = options;
    this.memTotal = memory * 1024;
    // runc 1.1 cannot bind an lxcfs file read-only into a container with users of its own.
    this.readOnly = options.readOnlyMounts ?? !userNamespace;
    this.#rig = rig;
    this.#bundle = rig.path(this.id);
    this.#output = join(this.#bundle, 'output');
    mkdirSync(`${this.#bundle}/rootfs/proc`, { recursive: true });
    for (const dir of ['dev', 'sys']) mkdirSync(`${this.#bundle}/rootfs/${dir}`);
    execFileSync('cp', [reader(rig), `${this.#bundle}/rootfs/reader`]);
    if (shared) {
      mkdirSync(`${this.#bundle}/rootfs/shared`);
      run('cp', '/bin/busybox', `${this.#bundle}/rootfs/busybox`);
    }
    if (userNamespace) run('chown', '-R', '100000:100000', `${this.#bundle}/rootfs`);
    run('chmod', '755', rig.dir);
    const directories = (file: string) => file === '/sys/devices/system/cpu';
    const spec = {
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args: ['/reader', String(pause), ...read.filter((file) => !directories(file))],
        cwd: '/',
        noNewPrivileges: true,
      },
      root: { path: 'rootfs', readonly: true },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        ...(this.files.some(directories) ? [{ destination: '/sys', type: 'sysfs', source: 'sysfs' }] : []),
        ...(shared ? [{ destination: '/shared', type: 'bind', source: shared, options: ['rbind', 'rslave'] }] : []),
        ...this.files.map((file) => ({
          destination: file,
          type: 'bind',
          source: `${source}${file}`,
          options: ['rbind', 'rprivate', 'nosuid', 'nodev', ...(this.readOnly ? ['ro'] : [])],
        })),
      ],
      linux: {
        namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', ...(userNamespace ? ['user'] : [])].map((type) => ({
          type,
        })),
        ...(userNamespace ? { uidMappings: MAPPING, gidMappings: MAPPING } : {}),
        resources: {
          devices: [{ allow: false, access: 'rwm' }],
          memory: { limit: memory << 20 },
          cpu: { quota: cpus * 100_000, period: 100_000 },
        },
        cgroupsPath: `/${this.id}`,
      },
    };
    writeFileSync(`${this.#bundle}/config.json`, JSON.stringify(spec));
    rig.onClose('process', () => this.stop());
  }

  /** @throws with what runc says */
  start(): this {
    const log = `${this.#bundle}/runc.log`;
    writeFileSync(log, '');
    const output = openSync(this.#output, 'a');
    try {
      execFileSync('runc', ['--root', this.#rig.path('runc'), '--log', log, 'run', '-d', '-b', this.#bundle, this.id], {
        stdio: ['ignore', output, output],
      });
    } catch (error) {
      throw new Error(`runc: ${readFileSync(log, 'utf8')}`, { cause: error });
    }
    this.#pid = Number(JSON.parse(run('runc', '--root', this.#rig.path('runc'), 'state', this.id)).pid);
    return this;
  }

  get pid(): number {
    return this.#pid;
  }
  #pid = 0;

  stop(): void {
    if (existsSync(join(this.#rig.path('runc'), this.id)))
      run('runc', '--root', this.#rig.path('runc'), 'delete', '-f', this.id);
  }

  observations(): Observation[] {
    return this.#lines()
      .filter((line) => !line.startsWith('#'))
      .map((line) => {
        const [at, file, value] = line.split(' ') as [string, string, string];
        return { at: Number(at) / 1000, file, value: Number(value) };
      });
  }

  /** ms that its slowest read took; 0 where none took 10. */
  slowest(): number {
    const notes = this.#lines().flatMap((line) => /^# slowest (\d+)$/.exec(line)?.[1] ?? []);
    return Number(notes.at(-1) ?? 0) / 1000;
  }

  /** How often it has read so far, to the last hundred, and how many of these reads took more than 100 ms. */
  counts(): { reads: number; slow: number } {
    const [, reads = 0, slow = 0] =
      this.#lines()
        .findLast((line) => line.startsWith('# reads '))
        ?.match(/(\d+) (\d+)/) ?? [];
    return { reads: Number(reads), slow: Number(slow) };
  }

  #lines(): string[] {
    return readFileSync(this.#output, 'utf8').split('\n').slice(0, -1);
  }

  /** What each file gave the last time it was read. */
  last(): Map<string, number> {
    return new Map(this.observations().map(({ file, value }) => [file, value]));
  }

  /** Its mount table. */
  mounts(): Mount[] {
    return readMountinfo(this.pid);
  }

  /** What is mounted at its lxcfs files; one each, the way it should be. */
  lxcfsMounts(): Mount[] {
    return this.mounts().filter((mount) => mount.fsType === 'fuse.lxcfs');
  }

  /** The rest of its mount table, ids and all: nobody has touched it where this is the same. */
  otherMounts(): string[] {
    return this.mounts()
      .filter((mount) => mount.fsType !== 'fuse.lxcfs')
      .map(({ id, parent, mountPoint, options, fsType }) => `${id} ${parent} ${mountPoint} ${options} ${fsType}`);
  }

  /** ms during which at least one of its files gave an error, and with which errnos. */
  errors(): { time: number; errnos: Set<number> } {
    const errnos = new Set<number>();
    const failing = new Set<string>();
    let time = 0;
    let since = 0;
    for (const { at, file, value } of this.observations()) {
      if (value < 0) {
        errnos.add(-value);
        if (failing.size === 0) since = at;
        failing.add(file);
      } else if (failing.delete(file) && failing.size === 0) time += at - since;
    }
    return { time, errnos };
  }
}

function reader(rig: Rig): string {
  const path = rig.path('reader');
  if (!existsSync(path)) run('gcc', '-static', '-O1', '-o', path, join(import.meta.dirname, 'reader.c'));
  return path;
}
