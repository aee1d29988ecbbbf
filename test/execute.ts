import { execFile } from 'node:child_process';

/** What a program said and how it ended. */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. `input` goes to its standard input. Never rejects: one that cannot be started has the code 1. */
export function execute(command: readonly string[], input = '', env: NodeJS.ProcessEnv = process.env): Promise<Result> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr: stderr || (error && code === 1 && !stdout ? error.message : '') });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** The same, where it has to succeed. @returns its standard output @throws with what it said where it failed */
export async function succeed(command: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await execute(command, input);
  if (code === 0) return stdout;
  throw new Error(`${command.join(' ').slice(0, 200)} failed with ${code}:\n${stderr || stdout}`);
}
