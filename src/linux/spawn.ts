import { openSync } from 'node:fs';
import { Socket } from 'node:net';
import { O_CLOEXEC } from './constants.ts';
import { SystemCallError } from './errors.ts';
import { check, libc } from './libc.ts';

export interface SpawnOptions {
  readonly cwd?: string | undefined;
  /** Descriptors it inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it reads from: nothing, unless it is to be told something. */
  readonly stdin?: 'pipe';
}

export interface SpawnedChild {
  readonly pid: number;
  /** The descriptor to write to, where a pipe was asked for; the caller's to close. */
  readonly stdin: number | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Its exit code, undefined where a signal ended it. */
  readonly exited: Promise<number | undefined>;
}

const WNOHANG = 1;
const POSIX_SPAWN_SETSIGDEF = 4;
/** Larger than glibc's structures (80 and 336 bytes), which are ours to keep and its to fill. */
const OPAQUE_BYTES = 1024;

/**
 * Starts a program by posix_spawn(3), which shares this process's memory with the child until it runs the program. Node's own spawn
 * forks, and to copy the page tables of a JavaScript heap takes ten times as long, with everything else standing still.
 * @throws SystemCallError where there is no such program
 */
export function spawnChild(
  file: string,
  args: readonly string[],
  { cwd, descriptors = [], env, stdin }: SpawnOptions,
): SpawnedChild {
  const actions = Buffer.alloc(OPAQUE_BYTES);
  const attributes = Buffer.alloc(OPAQUE_BYTES);
  succeed(libc.posix_spawn_file_actions_init(actions), 'posix_spawn_file_actions_init');
  succeed(libc.posix_spawnattr_init(attributes), 'posix_spawnattr_init');
  const ours: number[] = [];
  const theirs: number[] = [];
  try {
    const [stdoutRead, stdoutWrite] = pipe();
    ours.push(stdoutRead);
    theirs.push(stdoutWrite);
    const [stderrRead, stderrWrite] = pipe();
    ours.push(stderrRead);
    theirs.push(stderrWrite);
    const [stdinRead, stdinWrite] = stdin === 'pipe' ? pipe() : [];
    if (stdinWrite !== undefined) ours.push(stdinWrite);
    if (stdinRead !== undefined) theirs.push(stdinRead);
    // Node ignores SIGPIPE, and what is ignored stays so in a program that is run.
    libc.posix_spawnattr_setsigdefault(attributes, Buffer.alloc(128, 0xff));
    libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF);
    // First, for it may lead over a descriptor that is closed afterwards.
    if (cwd !== undefined)
      succeed(libc.posix_spawn_file_actions_addchdir_np(actions, cwd), 'posix_spawn_file_actions_addchdir_np');
    for (const [to, from] of [stdinRead ?? devNull(), stdoutWrite, stderrWrite, ...descriptors].entries()) {
      succeed(libc.posix_spawn_file_actions_adddup2(actions, from, to), 'posix_spawn_file_actions_adddup2');
    }
    succeed(
      libc.posix_spawn_file_actions_addclosefrom_np(actions, 3 + descriptors.length),
      'posix_spawn_file_actions_addclosefrom_np',
    );
    const pid = [0];
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const result = libc.posix_spawnp(pid, file, actions, attributes, [file, ...args, null], [...variables, null]);
    if (result !== 0) throw new SystemCallError('posix_spawnp', result, file);
    return {
      pid: pid[0] as number,
      stdin: stdinWrite,
      stdout: new Socket({ fd: stdoutRead, readable: true, writable: false }),
      stderr: new Socket({ fd: stderrRead, readable: true, writable: false }),
      exited: exitOf(pid[0] as number),
    };
  } catch (error) {
    for (const fd of ours) libc.close(fd);
    throw error;
  } finally {
    for (const fd of theirs) libc.close(fd);
    libc.posix_spawn_file_actions_destroy(actions);
    libc.posix_spawnattr_destroy(attributes);
  }
}

const children = new Map<number, (code: number | undefined) => void>();

function exitOf(pid: number): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  if (children.size === 0) process.on('SIGCHLD', reap);
  children.set(pid, resolve);
  // It may have ended before anyone listened.
  setImmediate(reap);
  return promise;
}

/** Asks for each child by its id: those that Node itself has started are not ours to reap. */
function reap(): void {
  for (const [pid, resolve] of children) {
    const status = [0];
    if (libc.waitpid(pid, status, WNOHANG) !== pid) continue;
    children.delete(pid);
    const [word = 0] = status;
    resolve((word & 0x7f) === 0 ? (word >> 8) & 0xff : undefined);
  }
  if (children.size === 0) process.off('SIGCHLD', reap);
}

let nullDevice: number | undefined;
function devNull(): number {
  nullDevice ??= openSync('/dev/null', 'r+');
  return nullDevice;
}

function pipe(): [read: number, write: number] {
  const ends = new Int32Array(2);
  check(libc.pipe2(ends, O_CLOEXEC), 'pipe2');
  return [ends[0] as number, ends[1] as number];
}

/** These return the errno instead of setting it. */
function succeed(result: number, call: string): void {
  if (result !== 0) throw new SystemCallError(call, result);
}
