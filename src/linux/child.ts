import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { Semaphore } from './semaphore.ts';
import { type SpawnedChild, type SpawnOptions, spawnChild } from './spawn.ts';

export interface ChildOptions {
  /** ms after which it is killed. */
  readonly deadline: number;
  /** Run as this uid and gid, with no capability and no supplementary group. */
  readonly uid?: number;
  readonly cwd?: string;
  /** Of what it writes to stdout: `latin1` keeps each byte, as one character. `utf8` without. */
  readonly encoding?: 'utf8' | 'latin1';
  /** Descriptors it inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
}

export interface ChildResult {
  readonly command: string;
  /** Undefined where it did not end by itself. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** Undefined where it has ended. Else it hangs in the kernel, beyond SIGKILL's reach, and this resolves when the kernel lets it go. */
  readonly stuck: Promise<void> | undefined;
}

/** How long a killed process may take to be gone, in ms, before it counts as stuck. */
const KILL_GRACE = 100;

const OUTPUT_LIMIT = 64 << 10;

/**
 * Runs a program that may hang for ever, for it touches what is not trusted. Never rejects for what the program does, never waits
 * longer than the deadline and a moment once it is its turn, and never keeps this process from ending.
 * @throws where it cannot be started
 */
export async function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<ChildResult> {
  const release = await semaphore.acquire();
  try {
    return await followChild(launchChild(command, args, options), command, options);
  } finally {
    release();
  }
}

/** Of 64 disks plugged in at once, 64 processes would compete for the processors, and all miss their deadlines. */
const semaphore = new Semaphore(8, 500);

/** Starts it, and no more. @throws where it cannot be started */
export function launchChild(
  command: string,
  args: readonly string[],
  { uid, cwd, descriptors = [], stdin }: Omit<ChildOptions, 'deadline'> & Pick<SpawnOptions, 'stdin'>,
): SpawnedChild {
  // A shell would complain of a working directory that has no path.
  const directory = cwd === undefined ? {} : { PWD: '/proc/self/cwd' };
  const env = { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...directory };
  const [file = command, ...rest] = uid === undefined ? [command, ...args] : [...unprivileged(uid), command, ...args];
  return spawnChild(file, rest, { cwd, descriptors, env, ...(stdin ? { stdin } : {}) });
}

/** What comes of a child that has been started, by the deadline. */
export async function followChild(
  child: SpawnedChild,
  command: string,
  { deadline, encoding = 'utf8' }: Pick<ChildOptions, 'deadline' | 'encoding'>,
): Promise<ChildResult> {
  const [stdout, stderr] = [collect(child.stdout, encoding), collect(child.stderr, 'utf8')];
  const result = (code: number | undefined, timedOut: boolean, stuck?: Promise<void>): ChildResult => {
    for (const pipe of [child.stdout, child.stderr]) pipe.destroy();
    return { command, code, stdout: stdout.text(), stderr: stderr.text(), timedOut, stuck };
  };

  let code = await within(child.exited, deadline);
  const timedOut = code === LATE;
  if (timedOut) {
    process.kill(child.pid, 'SIGKILL');
    code = await within(child.exited, KILL_GRACE);
    if (code === LATE)
      return result(
        undefined,
        timedOut,
        child.exited.then(() => {}),
      );
  }
  // The pipes are read to their end, unless a server that the child left behind holds them open. Timers come before input in a turn
  // of the event loop: a late one must not pass by what is there to be read.
  if ((await within(Promise.all([stdout.ended, stderr.ended]), KILL_GRACE)) === LATE) await setImmediate();
  return result(timedOut ? undefined : (code as number | undefined), timedOut);
}

/** setpriv(1), as far down as it goes. */
const unprivileged = (uid: number): string[] => [
  'setpriv',
  `--reuid=${uid}`,
  `--regid=${uid}`,
  '--clear-groups',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--no-new-privs',
];

const LATE = Symbol('late');

async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | typeof LATE> {
  const late = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(() => late.resolve(LATE), milliseconds);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function collect(stream: Socket, encoding: 'utf8' | 'latin1'): { text: () => string; ended: Promise<void> } {
  let text = '';
  stream.setEncoding(encoding).on('data', (chunk: string) => {
    if (text.length < OUTPUT_LIMIT) text += chunk;
  });
  const ended = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  return { text: () => text, ended };
}
