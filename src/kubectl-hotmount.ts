#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=65536 node --max-semi-space-size=2
// `kubectl hotmount` runs the program of this name. main.ts goes by it.
await import('./cli.ts');
