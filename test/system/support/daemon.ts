import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readMountinfo } from '../../../src/linux/mountinfo.ts';
import { fetchStatus } from '../../../src/node/server.ts';
import type { NodeStatus } from '../../../src/node/status.ts';
import { CliProcess } from './cli-process.ts';
import { type Rig, until } from './rig.ts';

export interface DaemonOptions {
  readonly policy?: string;
  /** Relative to the rig. */
  readonly runDir?: string;
  /** Relative to the rig; left out: no CSI driver, as this machine may have a kubelet of its own. */
  readonly kubeletDir?: string;
  readonly args?: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** `hotmount node`, as it is started on a node, on a run dir of the test's own. */
export class Daemon extends CliProcess {
  readonly rig: Rig;
  readonly runDir: string;
  readonly policyFile: string;
  readonly #args: readonly string[];
  readonly #csi: readonly string[];
  readonly #env: Readonly<Record<string, string>>;

  constructor(
    rig: Rig,
    { policy = rig.policy(), runDir = 'run', kubeletDir, args = [], env = {} }: DaemonOptions = {},
  ) {
    super();
    this.rig = rig;
    this.runDir = rig.path(runDir);
    this.policyFile = rig.path(`${runDir}-policy.yaml`);
    this.#args = args;
    this.#env = env;
    this.#csi = kubeletDir === undefined ? ['--no-csi'] : ['--kubelet-dir', rig.path(kubeletDir)];
    mkdirSync(this.runDir, { recursive: true });
    this.setPolicy(policy);
    rig.onClose('process', () => this.kill());
  }

  spawn(): void {
    const args = [
      'node',
      '--run-dir',
      this.runDir,
      '--policy',
      this.policyFile,
      '--metrics-port',
      '0',
      '--lxcfs',
      'off',
    ];
    this.launch([...args, '--host', '127.0.0.1', '--log-level', 'debug', ...this.#csi, ...this.#args], {
      ...process.env,
      ...this.#env,
    });
  }

  /** Resolves when it has looked at every disk once and says that it is ready. */
  async start(): Promise<this> {
    this.spawn();
    await until(`ready: ${this.log}`, async () => (await this.status())?.daemon.ready || this.#throwIfEnded());
    return this;
  }

  #throwIfEnded(): false {
    if (this.hasEnded) throw new Error(`the daemon has ended: ${this.log}`);
    return false;
  }

  async status(): Promise<NodeStatus | undefined> {
    return fetchStatus(this.runDir);
  }

  /** The directory that a disk is mounted on, waited for. Where it was mounted before, that may still be what it was. */
  async mounted(disk: string): Promise<string> {
    return until(`${disk} is mounted`, async () => {
      const status = await this.status();
      return status?.mounted.find((entry) => entry.disk === disk)?.path ?? this.#tell(disk, status);
    });
  }

  /** Waits until it is left for this reason, and returns the sentence. */
  async leftFor(disk: string, reason: string, seconds?: number): Promise<string> {
    const ask = async (): Promise<string> => {
      const status = await this.status();
      const found = status?.notMounted.find((entry) => entry.disk === disk && entry.reason === reason);
      return found?.message ?? this.#tell(disk, status);
    };
    return until(`${disk} is left for ${reason}`, ask, seconds);
  }

  #tell(disk: string, status: NodeStatus | undefined): never {
    const states = [...(status?.mounted ?? []), ...(status?.notMounted ?? [])].filter((entry) => entry.disk === disk);
    const log = this.log.split('\n').filter((line) => line.includes(`"${disk}"`));
    throw new Error(`${JSON.stringify(states)}\n${log.join('\n')}`);
  }

  /** What the node's mount table shows below the run dir's two trees, relative to it. */
  mountPoints(): string[] {
    return readMountinfo()
      .filter(({ mountPoint }) => mountPoint.startsWith(`${this.runDir}/media`))
      .map(({ mountPoint }) => mountPoint.slice(this.runDir.length + 1))
      .sort();
  }

  setPolicy(policy: string): void {
    writeFileSync(`${this.policyFile}.new`, policy);
    renameSync(`${this.policyFile}.new`, this.policyFile);
  }

  /** Of health and metrics, on the loopback. It is logged after the daemon has said that it is ready. */
  async metricsPort(): Promise<number> {
    return Number((await this.logged(/"metricsPort":(\d+),/))[1]);
  }

  /** kB of resident memory. */
  rss(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
  }
}
