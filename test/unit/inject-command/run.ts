import { type InjectFlags, runInject } from '../../../src/commands/inject.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in this process, with `stdin` piped in; undefined: a terminal. */
export async function run(files: readonly string[], flags: InjectFlags = {}, stdin?: string): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runInject(files, flags, {
    stdin: { isTTY: stdin === undefined, read: async () => Buffer.from(stdin ?? '') },
    stdout: { isTTY: false, write: (text) => void out.push(text) },
    stderr: { isTTY: false, write: (text) => void err.push(text) },
  });
  return { code, stdout: out.join(''), stderr: err.join('') };
}
