import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ClassCounts, type ClassCountsOptions } from '../../../src/node/class-counts.ts';
import { Attempts } from '../../../src/node/reconcile/attempts.ts';
import type { Policy } from '../../../src/policy/index.ts';

const log = pino({ enabled: false });
const policyOf = (name: string): Policy => ({ mediaClasses: [{ name }], deviceClasses: [] }) as unknown as Policy;

let dir: string;
let attempts: Attempts;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hotmount-counts-'));
  attempts = new Attempts(log);
});
afterEach(() => {
  attempts.close();
  rmSync(dir, { recursive: true });
});

it('a device plugin that could not be started has the classes of the policy in force when it can', async () => {
  writeFileSync(join(dir, 'plugins_registry'), 'no directory');
  const nothing = { states: new Map(), nodes: [] };
  const options = { media: nothing, devices: nothing, attempts, kubeletDir: dir, devicePluginDir: dir, log };
  const counts = new ClassCounts(options as unknown as ClassCountsOptions);
  await counts.start(policyOf('old'));
  expect(attempts.problems.join()).toContain('ENOTDIR');
  counts.setPolicy(policyOf('new'));
  rmSync(join(dir, 'plugins_registry'));
  await vi.waitFor(() => expect(attempts.problems).toEqual([]), { timeout: 5000 });
  expect(counts.status()?.resources.map(({ name }) => name)).toEqual(['hotmount.io/new']);
  counts.close();
});
