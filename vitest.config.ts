import { defineConfig } from 'vitest/config';
import { SOAK } from './test/settings.ts';

/**
 * unit, golden and server run without root, together. After them, so that nothing else competes for the machine, system: it needs root,
 * and runs one file after the other. Then lab runs in a virtual machine (test/lab/README.md): all its files in one process, since they share one boot.
 * cluster runs with a Kubernetes control plane (test/cluster/README.md), of which its files share one, too. Last, node runs with a whole
 * cluster of one node (test/node/README.md), shared as well.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          setupFiles: 'test/seed.ts',
          testTimeout: SOAK ? 900_000 : 60_000,
        },
      },
      { test: { name: 'golden', include: ['test/golden/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'server',
          include: ['test/server/**/*.test.ts'],
          setupFiles: 'test/seed.ts',
          testTimeout: SOAK ? 900_000 : 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: SOAK ? 1_800_000 : 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          globalSetup: 'test/lab/global-setup.ts',
          pool: 'forks',
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: SOAK ? 1_800_000 : 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts'],
          globalSetup: 'test/cluster/global-setup.ts',
          pool: 'forks',
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
          testTimeout: SOAK ? 1_800_000 : 600_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'node',
          include: ['test/node/**/*.test.ts'],
          globalSetup: 'test/node/global-setup.ts',
          pool: 'forks',
          isolate: false,
          fileParallelism: false,
          sequence: { groupOrder: 4 },
          testTimeout: SOAK ? 1_800_000 : 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
