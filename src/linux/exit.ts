import { flushCompileCache } from 'node:module';
import { libc } from './libc.ts';

/**
 * Ends the process at once, from any of its threads: for one that has lost its way and must make no other call. Nothing that is found
 * here may be taken for what it seems.
 */
export function abort(why: string): never {
  const line = Buffer.from(`error: ${why}\n`);
  libc.write(2, line, line.length);
  libc._exit(1);
  throw new Error(why);
}

/**
 * From now on the process ends at once, whatever its threads are doing. Node and libuv wait for theirs, and one that waits in a system
 * call, for a FUSE server that hangs, say, would keep the process for ever, deaf to signals. Listeners of 'exit' that are added
 * later are not called any more.
 */
export function exitWithoutThreads(): void {
  process.on('exit', (code) => {
    flushCompileCache();
    libc._exit(code);
  });
}
