import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const NODE_FLAGS = ['--max-semi-space-size=1', '--no-memory-reducer'];

/** As in the first line of src/cli.ts: one arena for all threads, and what compilers take for a moment goes back at once. */
const MALLOC = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '16384', MALLOC_TRIM_THRESHOLD_: '65536' };

/**
 * For what each node of a cluster pays. Node takes a good third more with its defaults than is needed. So young objects get 1 MiB before
 * they are collected, instead of growing to 16; V8 looks for nothing to tidy up while the process is idle, which would wake it; and all
 * threads take from the cache what the sources compile to, so that neither the compiler nor its garbage stays in memory from the second
 * start on. All that can only be had at the start of a process: this one becomes it, with its id and all.
 */
export function restartSavingMemory(): void {
  if (NODE_FLAGS.every((flag) => process.execArgv.includes(flag)) || process.execve === undefined) return;
  const cache = getCompileCacheDir();
  const args = [process.execPath, ...process.execArgv, ...NODE_FLAGS, ...process.argv.slice(1)];
  // The image sets the variable itself; where nothing can be written, there is none to set.
  const cached = cache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(cache) };
  process.execve(process.execPath, args, { ...MALLOC, ...cached, ...process.env });
}

/** ms. By then a start is over, and what it has left is garbage. */
const AFTER_START = 5_000;

/**
 * Has V8 collect at a fifth more than what is in use, not at up to four times as much. For what serves for months and is idle nearly
 * always: a request takes a few percent more CPU (bench/memory.ts).
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=20');
  setTimeout(collectStart, AFTER_START).unref();
}

/**
 * A third of what a process has then is what its start has left: garbage of modules, and the code of functions that run once. V8 would keep
 * it until it needs the room. It takes 100 ms, once.
 */
function collectStart(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as NodeJS.GCFunction;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
