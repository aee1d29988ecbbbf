#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

// Reading TypeScript takes half of a short command's time, and need be done once. Beside the dependencies, as whoever could write there
// could as well change the program; the default, in the shared /tmp, would let others plant code in what root runs.
enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/hotmount'));
await import('./main.ts');
