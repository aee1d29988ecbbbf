import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { fetchLxcfsStatus } from '../../../src/node/lxcfs/api.ts';
import type { LxcfsInstanceStatus, LxcfsStatus } from '../../../src/node/lxcfs/status.ts';
import { CliProcess } from '../support/cli-process.ts';
import { type Rig, until } from '../support/rig.ts';

/** s. On a machine that is slow by nature, readers take longer to start than lxcfs may take to answer. */
const CHECK_EVERY = process.env['HOTMOUNT_PATIENCE'] ? '60' : '0.5';

/** `hotmount lxcfs`, as it is started on a node, on a run dir of the test's own. */
export class LxcfsService extends CliProcess {
  readonly runDir: string;
  readonly #args: readonly string[];
  /** Put before the environment's PATH. */
  path = '';
  /** `HOTMOUNT_LXCFS`. */
  trees = '/nowhere';
  /** Added to the environment. */
  env: Readonly<Record<string, string>> = {};

  constructor(rig: Rig, args: readonly string[] = []) {
    super();
    this.runDir = rig.path('run');
    this.#args = args;
    mkdirSync(this.runDir, { recursive: true });
    rig.onClose('process', async () => {
      await this.kill();
      endLxcfs(this.runDir);
    });
  }

  /** Where containers mount from. */
  get source(): string {
    return `${this.runDir}/lxcfs`;
  }

  spawn(): this {
    const args = [
      'lxcfs',
      '--run-dir',
      this.runDir,
      '--check-every',
      CHECK_EVERY,
      '--log-level',
      'debug',
      ...this.#args,
    ];
    const path = `${this.path}${process.env['PATH']}`;
    this.launch(args, { ...process.env, PATH: path, HOTMOUNT_LXCFS: this.trees, ...this.env });
    return this;
  }

  /** Resolves when both instances are ready. */
  async start(): Promise<this> {
    this.spawn();
    await this.healthy();
    return this;
  }

  async healthy(): Promise<LxcfsStatus> {
    return until('an active instance and a standby', async () => {
      const status = await this.status();
      const roles = status?.instances.map(({ role }) => role).sort();
      return roles?.join() === 'active,standby' && status?.ready ? status : undefined;
    });
  }

  status(): Promise<LxcfsStatus | undefined> {
    return fetchLxcfsStatus(this.runDir);
  }

  async instance(role: LxcfsInstanceStatus['role']): Promise<LxcfsInstanceStatus> {
    return until(`an instance that is ${role}`, async () =>
      (await this.status())?.instances.find((instance) => instance.role === role),
    );
  }
}

/** The lxcfs processes of a run dir, without the children by which they look up who reads. */
export function lxcfsProcesses(runDir: string): number[] {
  const all = withChildren(runDir);
  return all.filter((pid) => {
    const parent = parentOf(pid);
    return parent !== undefined && !all.includes(parent);
  });
}

/** By their command lines, which a child has from its parent. */
function withChildren(runDir: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      try {
        const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return program.endsWith('lxcfs') && args.some((arg) => arg.startsWith(`${runDir}/`));
      } catch {
        return false;
      }
    });
}

/** Undefined where the process has ended since it was found. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}

export function endLxcfs(runDir: string): void {
  for (const pid of withChildren(runDir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended since it was found.
    }
  }
}
