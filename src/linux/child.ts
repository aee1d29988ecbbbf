import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { Turnstile } from './turnstile.ts';

export interface ChildOptions {
  /** ms after which it is killed. */
  readonly deadline: number;
  /** Run as this uid and gid, with no capability and no supplementary group. */
  readonly uid?: number;
  readonly cwd?: string;
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
type Child = ChildProcessByStdio<null, Readable, Readable>;

const OUTPUT_LIMIT = 64 << 10;

/**
 * Runs a program that may hang for ever, for it touches what is not trusted. Never rejects for what the program does, never waits
 * longer than the deadline and a moment once it is its turn, and never keeps this process from ending.
 * @throws where it cannot be started
 */
export async function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<ChildResult> {
  const leave = await turnstile.enter();
  return start(command, args, options).finally(leave);
}

/** 64 disks at once would otherwise be 64 processes that take the time from one another. */
const turnstile = new Turnstile(8, 500);

async function start(command: string, args: readonly string[], options: ChildOptions): Promise<ChildResult> {
  const { deadline, uid, cwd, descriptors = [] } = options;
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
  }) as Child;
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  return new Promise((resolve, reject) => {
    let timedOut = false;
    let timer: NodeJS.Timeout;
    const gone = new Promise<void>((resolveGone) => {
      child.once('exit', (code) => {
        clearTimeout(timer);
        resolveGone();
        // The pipes are read to their end, unless a server that the child left behind holds them open.
        const done = (): void =>
          resolve({ command, code: code ?? undefined, stdout: stdout(), stderr: stderr(), timedOut, stuck: undefined });
        if (pipesEnded(child)) done();
        else {
          // Timers come before input in a turn of the event loop: a late one must not pass by what is there to be read.
          const impatience = setTimeout(() => setImmediate(done), KILL_GRACE);
          child.once('close', () => {
            clearTimeout(impatience);
            done();
          });
        }
      });
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      timer = setTimeout(() => {
        child.unref();
        for (const pipe of [child.stdout, child.stderr]) pipe.destroy();
        resolve({ command, code: undefined, stdout: stdout(), stderr: stderr(), timedOut, stuck: gone });
      }, KILL_GRACE);
    }, deadline);
  });
}

const pipesEnded = (child: Child): boolean => Boolean(child.stdout?.readableEnded && child.stderr?.readableEnded);

function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    if (text.length < OUTPUT_LIMIT) text += chunk;
  });
  return () => text;
}
