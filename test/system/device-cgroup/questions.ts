import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DeviceRule, ruleDevice } from '../../../src/linux/device-cgroup/rule.ts';
import { libc } from '../../../src/linux/libc.ts';
import type { Rig } from '../support/rig.ts';

export type Device = Pick<DeviceRule, 'type' | 'major' | 'minor'>;

/** Whether a device may be opened for that, or a node of it be made. */
export interface Question extends Device {
  readonly access: DeviceRule['access'] | 'm';
}

const MODE = { char: 0o020000, block: 0o060000 };

/** Where the node of a device is, for all who ask. */
export const nodePath = (nodes: string, device: Device): string =>
  `${nodes}/${ruleDevice(device).replace(/[ :]/g, '-')}`;

/** @returns whether it was allowed */
export function makeNode(path: string, { type, major, minor }: Device): boolean {
  const device = (BigInt(major) << 8n) | BigInt(minor & 0xff) | (BigInt(minor & ~0xff) << 12n);
  return libc.mknod(path, MODE[type] | 0o666, device) === 0;
}

/** Asks the kernel as a process in a cgroup (asker.ts). */
export class Asker {
  readonly #nodes: string;
  readonly #child: ChildProcess;

  private constructor(nodes: string, child: ChildProcess) {
    this.#nodes = nodes;
    this.#child = child;
  }

  static async start(rig: Rig, cgroup: string): Promise<Asker> {
    const nodes = rig.path('nodes');
    mkdirSync(nodes, { recursive: true });
    const child = fork(join(import.meta.dirname, 'asker.ts'), [nodes], { stdio: 'inherit', execArgv: [] });
    rig.onClose('process', async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    });
    const asker = new Asker(nodes, child);
    await asker.ask([]);
    asker.enter(cgroup);
    return asker;
  }

  /** From then on it asks as a process of another cgroup. */
  enter(cgroup: string): void {
    writeFileSync(`${cgroup}/cgroup.procs`, String(this.pid));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async ask(questions: readonly Question[]): Promise<boolean[]> {
    for (const question of questions) {
      const path = nodePath(this.#nodes, question);
      if (!existsSync(path)) makeNode(path, question);
    }
    const answer = once(this.#child, 'message');
    this.#child.send(questions);
    return (await answer)[0] as boolean[];
  }

  /** What of this it may do: `rw`, `r`, `w` or nothing. */
  async access(device: Device): Promise<string> {
    const [r, w] = await this.ask([
      { ...device, access: 'r' },
      { ...device, access: 'w' },
    ]);
    return `${r ? 'r' : ''}${w ? 'w' : ''}`;
  }
}
