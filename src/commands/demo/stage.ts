import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { errorCode } from '../../linux/errors.ts';
import { loopDevices, removeLoopDevice } from '../../linux/loop.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import { fetchStatus } from '../../node/server.ts';
import { type DemoContainer, startContainer } from './container.ts';

const CLI = fileURLToPath(new URL('../../cli.ts', import.meta.url));
const DISK_SIZE = 8 << 20;
/** Of the raw device, by which its class knows it: no other disk is likely to have it. */
const RAW_SIZE = (5 << 20) + 4096 * 77;
/** ms. Only a limit: a disk takes some ten, the daemon's start a second. */
const PATIENCE = 20_000;

/** A class for this disk and no other, and one for the raw device. */
const policyFor = (uuid: string): string => `apiVersion: hotmount.io/v1alpha1
kind: Policy
rules: []
mediaClasses: [{name: demo, match: [{bus: [loop], uuid: [${uuid}]}]}]
deviceClasses: [{name: demo, match: [{bus: [loop], minSize: ${RAW_SIZE}, maxSize: ${RAW_SIZE}}]}]
`;

/** The daemon did not start, although all that it takes is there. */
export class DaemonError extends Error {}

/**
 * A daemon, a container, a disk and a raw device, all in one directory. To clear it takes no waiting, since that is done at a signal, too.
 */
export class Stage {
  readonly #dir = mkdtempSync(join(tmpdir(), 'hotmount-demo-'));
  readonly #runDir = join(this.#dir, 'run');
  readonly #image = join(this.#dir, 'stick.img');
  /** Undone the last one first. */
  readonly #props = new DisposableStack();
  readonly #raw = join(this.#dir, 'raw.img');
  #loop: Loop | undefined;
  #rawLoop: Loop | undefined;

  constructor() {
    this.#props.defer(() => rmSync(this.#dir, { recursive: true, force: true }));
    this.#props.defer(() => this.#unplug());
    this.#props.defer(() => this.unplugRaw());
    this.#props.defer(() => this.#unmountAll());
  }

  clear(): void {
    this.#props.dispose();
  }

  /**
   * Starts the daemon, then the container. Rejects with DaemonError where the daemon does not start, and with another that says what cannot
   * be had on this machine.
   */
  async setUp(): Promise<DemoContainer> {
    const [content, policy, uuid] = [join(this.#dir, 'content'), join(this.#dir, 'policy.yaml'), randomUUID()];
    for (const dir of [this.#runDir, content]) mkdirSync(dir);
    writeFileSync(policy, policyFor(uuid));
    writeFileSync(join(content, 'hello'), 'Hello from the disk.\n');
    writeFileSync(this.#image, '');
    truncateSync(this.#image, DISK_SIZE);
    run('mkfs.ext4', '-q', '-F', '-U', uuid, '-L', 'STICK', '-d', content, this.#image);
    writeFileSync(this.#raw, 'Hello from the raw device.\n');
    truncateSync(this.#raw, RAW_SIZE);
    await this.#startDaemon(policy).catch(({ message }: Error) => {
      throw new DaemonError(message);
    });
    const container = startContainer(this.#dir, basename(this.#dir), {
      '/media': join(this.#runDir, 'media/demo'),
      '/devices': join(this.#runDir, 'devices/demo'),
    });
    this.#props.defer(() => container.stop());
    return container;
  }

  /** @returns the device's path */
  plug(): string {
    this.#loop = attach(this.#image);
    return `/dev/loop${this.#loop.number}`;
  }

  /** @returns the device's name */
  plugRaw(): string {
    this.#rawLoop = attach(this.#raw);
    return `loop${this.#rawLoop.number}`;
  }

  unplugRaw(): void {
    if (this.#rawLoop) detach(this.#rawLoop);
    this.#rawLoop = undefined;
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
      '--no-csi',
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
    if (this.#loop) detach(this.#loop);
  }

  #unmountAll(): void {
    const below = readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(`${this.#dir}/`));
    for (const { mountPoint } of below.reverse()) run('umount', '-l', mountPoint);
  }
}

interface Loop {
  readonly number: number;
  /** The kernel made it for this. */
  readonly isOurs: boolean;
}

function attach(image: string): Loop {
  const before = loopDevices();
  const number = Number(run('losetup', '--find', '--show', image).replace('/dev/loop', ''));
  return { number, isOurs: !before.has(number) };
}

function detach({ number, isOurs }: Loop): void {
  run('losetup', '--detach', `/dev/loop${number}`);
  try {
    if (isOurs) removeLoopDevice(number);
  } catch (error) {
    // Somebody took it, or looks at it (udevd does): then it stays, and is used again.
    if (errorCode(error) !== 'EBUSY') throw error;
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
