import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../../linux/errors.ts';
import { loopDevices, removeLoopDevice } from '../../linux/loop.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import { fetchStatus } from '../../node/server.ts';
import { type DemoContainer, startContainer } from './container.ts';

const CLI = join(import.meta.dirname, '../../cli.ts');
const DISK_SIZE = 8 << 20;
/** ms. Only a limit: a disk takes some ten, the daemon's start a second. */
const PATIENCE = 20_000;

/** One class, which takes this disk and no other. */
const policyFor = (uuid: string): string => `apiVersion: hotmount.io/v1alpha1
kind: Policy
rules: []
mediaClasses: [{name: demo, match: [{bus: [loop], uuid: [${uuid}]}]}]
`;

/**
 * A daemon, a container and a disk, all in one directory. To clear it takes no waiting, since that is done at a signal, too.
 */
export class Stage {
  readonly #dir = mkdtempSync(join(tmpdir(), 'hotmount-demo-'));
  readonly #runDir = join(this.#dir, 'run');
  readonly #image = join(this.#dir, 'stick.img');
  /** Undone the last one first. */
  readonly #props = new DisposableStack();
  #loop: { readonly number: number; readonly isOurs: boolean } | undefined;

  constructor() {
    this.#props.defer(() => rmSync(this.#dir, { recursive: true, force: true }));
    this.#props.defer(() => this.#unplug());
    this.#props.defer(() => this.#unmountAll());
  }

  clear(): void {
    this.#props.dispose();
  }

  /** Starts the daemon, then the container. Rejects with an Error that says what cannot be had on this machine. */
  async setUp(): Promise<DemoContainer> {
    const [content, policy, uuid] = [join(this.#dir, 'content'), join(this.#dir, 'policy.yaml'), randomUUID()];
    for (const dir of [this.#runDir, content]) mkdirSync(dir);
    writeFileSync(policy, policyFor(uuid));
    writeFileSync(join(content, 'hello'), 'Hello from the disk.\n');
    writeFileSync(this.#image, '');
    truncateSync(this.#image, DISK_SIZE);
    run('mkfs.ext4', '-q', '-F', '-U', uuid, '-L', 'STICK', '-d', content, this.#image);
    await this.#startDaemon(policy);
    const container = startContainer(this.#dir, basename(this.#dir), join(this.#runDir, 'media/demo'), '/media');
    this.#props.defer(() => container.stop());
    return container;
  }

  /** @returns the device's path */
  plug(): string {
    const before = loopDevices();
    const device = run('losetup', '--find', '--show', this.#image);
    const number = Number(device.replace('/dev/loop', ''));
    this.#loop = { number, isOurs: !before.has(number) };
    return device;
  }

  /** As a card taken out of its reader: the size is 0 at once, whoever has it open. */
  pull(): void {
    const name = `loop${this.#loop?.number}`;
    // What the file system writes in between makes the image grow again.
    do {
      truncateSync(this.#image, 0);
      run('losetup', '--set-capacity', `/dev/${name}`);
    } while (Number(readFileSync(`/sys/block/${name}/size`, 'utf8')) > 0);
  }

  async #startDaemon(policy: string): Promise<void> {
    const args = [
      'node',
      '--run-dir',
      this.#runDir,
      '--policy',
      policy,
      '--metrics-port',
      '0',
      '--host',
      '127.0.0.1',
      '--lxcfs',
      'off',
    ];
    const daemon = spawn(process.execPath, [CLI, ...args, '--log-level', 'error'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#props.defer(() => daemon.kill('SIGKILL'));
    let said = '';
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const problem = await until('the daemon is ready', async () => {
      if (daemon.exitCode !== null) return `the daemon ended: ${said.trim()}`;
      const status = (await fetchStatus(this.#runDir))?.daemon;
      if (status?.problem === 'starting') return undefined;
      return status && (status.problem ?? READY);
    });
    if (problem !== READY) throw new Error(problem);
  }

  #unplug(): void {
    if (!this.#loop) return;
    const { number, isOurs } = this.#loop;
    run('losetup', '--detach', `/dev/loop${number}`);
    try {
      if (isOurs) removeLoopDevice(number);
    } catch (error) {
      // Somebody took it, or looks at it (udevd does): then it stays, and is used again.
      if (errorCode(error) !== 'EBUSY') throw error;
    }
  }

  #unmountAll(): void {
    const below = readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(`${this.#dir}/`));
    for (const { mountPoint } of below.reverse()) run('umount', '-l', mountPoint);
  }
}

const READY = 'ready';

/** Asks until there is an answer. Rejects after a good while. */
export async function until<T>(what: string, ask: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = performance.now() + PATIENCE;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer) return answer;
    await sleep(1);
  }
  throw new Error(`not within ${PATIENCE / 1000} s: ${what}`);
}

function run(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new Error(stderr.trim() || message, { cause: error });
  }
}
