import { spawn } from 'node:child_process';
import { SEARCH_PATH } from './requirements.ts';

export interface HostCommandOptions {
  cwd?: string;
  /** What the command reads from its standard input. Default: nothing. */
  input?: string | Uint8Array;
}

/**
 * Runs a program on the host to its end and gives its standard output.
 * @throws Error naming the program, how it ended and what it wrote to standard error
 */
export async function hostCommand(program: string, args: string[], options: HostCommandOptions = {}): Promise<Buffer> {
  const child = spawn(program, args, { cwd: options.cwd, env: { ...process.env, PATH: SEARCH_PATH, LC_ALL: 'C' } });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => {}); // EPIPE: the program did not want its input; its exit code tells whether that is an error
  child.stdin.end(options.input);
  const { promise: ended, resolve, reject } = Promise.withResolvers<string>();
  child.on('error', reject);
  child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  const how = await ended;
  if (how === 'exit code 0') return Buffer.concat(out);
  throw new Error(`${program} ${args.join(' ')}: ${how}: ${Buffer.concat(err).toString().trim() || 'no message'}`);
}
