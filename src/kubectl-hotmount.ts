#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=4
// `kubectl hotmount` runs the program of this name. main.ts goes by it.
await import('./cli.ts');
