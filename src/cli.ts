#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=65536 node --max-semi-space-size=2
// They save a serving process memory, at the same CPU (bench/memory.ts): what a request leaves behind is garbage at once, and what V8's
// compilers take for a moment goes back to the kernel.
import module from 'node:module';
import { join } from 'node:path';

const OLDEST = 24;

if (Number.parseInt(process.versions.node, 10) < OLDEST) {
  process.stderr.write(`error: this is Node ${process.versions.node}, and Node ${OLDEST} or newer is needed\n`);
  process.exit(2);
}
// Reading the program takes half of a short command's time, and need be done once. Beside the dependencies, as whoever could write there
// could as well change the program; the default, in the shared /tmp, would let others plant code in what root runs.
module.enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/hotmount'));
await import('./main.ts');
