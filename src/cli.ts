#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=4
// The flags save a serving process memory, at the same CPU: what a request leaves behind is garbage at once (bench/steady.ts).
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
