import { type ChildProcess, execFileSync, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findHierarchies } from '../../../src/linux/device-cgroup/hierarchy.ts';
import { type DeviceCgroup, type DeviceRule, deviceCgroupOf } from '../../../src/linux/device-cgroup/index.ts';
import { type Rig, run } from '../support/rig.ts';
import { makeNode, nodePath, type Question } from './asker.ts';

/** As in an OCI runtime spec. */
export interface SpecRule {
  readonly allow: boolean;
  readonly type?: 'c' | 'b';
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

export type Version = DeviceCgroup['version'];

const PREFIX = 'hotmount-grants-';

/** A mount namespace in which the machine has cgroup v2 only, for a runtime that goes by what is mounted. */
const UNIFIED = `mount --make-rprivate / && umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"`;

/** Which versions can be tested on this machine. */
export const versions = (): Version[] => (findHierarchies().v1 ? [1, 2] : [2]);

/** Why this runtime cannot start containers here; undefined where it can. */
export function whyNot(runtime: string): string | undefined {
  if (spawnSync('sh', ['-c', `command -v ${runtime}`]).status !== 0) return `${runtime} is not installed`;
  const CAP_SYS_RESOURCE = 24n;
  const capabilities = /CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const has = (BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n;
  return runtime === 'crun' && !has ? 'crun needs CAP_SYS_RESOURCE' : undefined;
}

let count = 0;

/** Containers side by side in one cgroup, on one version of cgroups. */
export class Pod {
  readonly version: Version;
  readonly runtime: string;
  readonly #rig: Rig;
  readonly #name = `${PREFIX}${process.pid}-${count++}`;

  constructor(rig: Rig, version: Version, runtime = 'runc') {
    this.version = version;
    this.runtime = runtime;
    this.#rig = rig;
    sweep();
    rig.onClose('process', () => removeCgroups(this.#name));
  }

  /** The cgroup that they are all in. */
  get cgroup(): string {
    const { v1, v2 } = findHierarchies();
    return `${(this.version === 1 ? v1 : v2)?.directory}/${this.#name}`;
  }

  start(rules: readonly SpecRule[]): DeviceContainer {
    const bundle = this.#rig.path(`bundle-${count}`);
    const id = `${this.#name}-${count++}`;
    makeBundle(bundle, `/${this.#name}/${id}`, rules);
    this.#rig.onClose('process', () => this.#command('delete', '--force', id));
    try {
      this.#command('--log', `${bundle}/log`, 'run', '-d', '-b', bundle, id);
    } catch (error) {
      throw new Error(existsSync(`${bundle}/log`) ? readFileSync(`${bundle}/log`, 'utf8') : '', { cause: error });
    }
    const pid = Number(JSON.parse(this.#command('state', id)).pid);
    return new DeviceContainer(this.#rig, pid, this.version);
  }

  #command(...args: string[]): string {
    const command = [this.runtime, '--root', this.#rig.path(this.runtime), ...args];
    const isOther = this.version === 2 && findHierarchies().v1 !== undefined;
    const [program, ...rest] = isOther ? ['unshare', '-m', 'sh', '-c', UNIFIED, ...command] : command;
    const stdio = args.includes('run') ? 'ignore' : 'pipe';
    return execFileSync(program as string, rest, { encoding: 'utf8', stdio }) ?? '';
  }
}

export class DeviceContainer {
  readonly pid: number;
  readonly cgroup: DeviceCgroup;
  readonly #rig: Rig;
  #asker: ChildProcess | undefined;

  constructor(rig: Rig, pid: number, version: Version) {
    this.#rig = rig;
    this.pid = pid;
    const cgroup = deviceCgroupOf(pid);
    if (cgroup?.version !== version) throw new Error(`process ${pid} is governed by ${JSON.stringify(cgroup)}`);
    this.cgroup = cgroup;
  }

  /** Asks the kernel, as a process in the container's cgroup. */
  async ask(questions: readonly Question[]): Promise<boolean[]> {
    const nodes = this.#rig.path('nodes');
    mkdirSync(nodes, { recursive: true });
    for (const question of questions) {
      const path = nodePath(nodes, question);
      if (!existsSync(path)) makeNode(path, question);
    }
    this.#asker ??= await startAsker(this.#rig, nodes, this.cgroup.path);
    const answer = once(this.#asker, 'message');
    this.#asker.send(questions);
    return (await answer)[0] as boolean[];
  }

  async opens(rule: DeviceRule): Promise<boolean> {
    return (await this.ask([rule]))[0] as boolean;
  }
}

async function startAsker(rig: Rig, nodes: string, cgroup: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'asker.ts'), [nodes], { stdio: 'inherit', execArgv: [] });
  rig.onClose('process', async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  const ready = once(child, 'message');
  child.send([]);
  await ready;
  writeFileSync(`${cgroup}/cgroup.procs`, String(child.pid));
  return child;
}

function makeBundle(bundle: string, cgroupsPath: string, devices: readonly SpecRule[]): void {
  for (const dir of ['', 'rootfs', 'rootfs/bin', 'rootfs/proc', 'rootfs/dev']) mkdirSync(`${bundle}/${dir}`);
  copyFileSync(run('sh', '-c', 'command -v busybox'), `${bundle}/rootfs/bin/sleep`);
  const spec = {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['/bin/sleep', '100000'], env: [], cwd: '/', noNewPrivileges: true },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      resources: { devices },
      cgroupsPath,
    },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
}

/** What earlier runs that were killed have left. */
function sweep(): void {
  const { v1, v2 } = findHierarchies();
  for (const hierarchy of [v1, v2]) {
    for (const name of hierarchy ? readdirSync(hierarchy.directory) : []) {
      const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
      if (pid && !existsSync(`/proc/${pid}`)) removeCgroups(name);
    }
  }
}

/** In every hierarchy, v1's others too: the runtime made it in them all. */
function removeCgroups(name: string): void {
  const root = findHierarchies().v1?.directory.replace(/\/[^/]*$/, '') ?? '';
  const all = root ? readdirSync(root).map((controller) => `${root}/${controller}/${name}`) : [];
  for (const directory of [...all, `${findHierarchies().v2?.directory}/${name}`]) {
    try {
      for (const child of readdirSync(directory, { withFileTypes: true })) {
        if (child.isDirectory()) rmdirSync(`${directory}/${child.name}`);
      }
      rmdirSync(directory);
    } catch {
      // It is not there, or somebody is still in it: the next run's turn.
    }
  }
}
