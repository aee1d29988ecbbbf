import { flushCompileCache } from 'node:module';
import { libc } from './libc.ts';

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
