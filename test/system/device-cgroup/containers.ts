import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { findHierarchies } from '../../../src/linux/device-cgroup/hierarchy.ts';
import { type DeviceCgroup, deviceCgroupOf } from '../../../src/linux/device-cgroup/index.ts';
import { UNIFIED } from '../support/container.ts';
import { type Rig, run } from '../support/rig.ts';
import { reserveCgroup, type Version } from './cgroups.ts';
import { Asker, type Question } from './questions.ts';

/** As in an OCI runtime spec. */
export interface SpecRule {
  readonly allow: boolean;
  readonly type?: 'c' | 'b';
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

let count = 0;

/** Containers side by side in one cgroup, on one version of cgroups. */
export class Pod {
  readonly version: Version;
  readonly runtime: string;
  readonly #rig: Rig;
  readonly #name: string;

  constructor(rig: Rig, version: Version, runtime = 'runc') {
    this.version = version;
    this.runtime = runtime;
    this.#rig = rig;
    this.#name = reserveCgroup(rig);
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
  #asker: Asker | undefined;

  constructor(rig: Rig, pid: number, version: Version) {
    this.#rig = rig;
    this.pid = pid;
    const cgroup = deviceCgroupOf(pid);
    if (cgroup?.version !== version) throw new Error(`process ${pid} is governed by ${JSON.stringify(cgroup)}`);
    this.cgroup = cgroup;
  }

  /** Asks the kernel, as a process in the container's cgroup. */
  async ask(questions: readonly Question[]): Promise<boolean[]> {
    this.#asker ??= await Asker.start(this.#rig, this.cgroup.path);
    return this.#asker.ask(questions);
  }
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
