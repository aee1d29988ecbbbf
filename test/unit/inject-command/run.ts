import { type InjectFlags, runInject } from '../../../src/commands/inject.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in this process, with `stdin` piped in; undefined: a terminal. `onWrite` sees what is written to stdout as it is. */
export async function run(
  files: readonly string[],
  flags: InjectFlags = {},
  stdin?: string | Buffer,
  onWrite: (chunk: string | Buffer) => void = () => {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const write = (chunk: string | Buffer) => {
    out.push(chunk.toString());
    onWrite(chunk);
  };
  const code = await runInject(files, flags, {
    stdin: { isTTY: stdin === undefined, read: async () => Buffer.from(stdin ?? '') },
    stdout: { isTTY: false, write },
    stderr: { isTTY: false, write: (text) => void err.push(text) },
  });
  return { code, stdout: out.join(''), stderr: err.join('') };
}
