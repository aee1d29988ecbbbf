import { beforeAll, describe, expect, inject, test } from 'vitest';
import { type Cluster, startCluster } from './cluster.ts';

/** One cluster for all files of the project: they run one after the other in one process (vitest.config.ts). */
let shared: Promise<Cluster> | undefined;

/**
 * As vitest's `describe`, for tests with a control plane: `cluster()` gives it to them. Where none can be had they are skipped with the
 * reason in their name, or fail when `HOTMOUNT_REQUIRE_SYSTEM=1`. What a file makes in the cluster it removes.
 */
export function describeInCluster(name: string, body: (cluster: () => Cluster) => void): void {
  const obstacle = inject('clusterObstacle');
  if (obstacle) {
    if (process.env['HOTMOUNT_REQUIRE_SYSTEM'] !== '1') {
      return void describe.skip(`${name} (skipped, because ${obstacle})`, () => test('needs a cluster', () => {}));
    }
    return void describe(name, () => test('the machine can run a control plane', () => expect.fail(obstacle)));
  }
  describe(name, () => {
    let current: Cluster | undefined;
    beforeAll(async () => {
      // vitest ends the process with SIGTERM, which by default would skip what is done at exit.
      if (!shared) process.once('SIGTERM', () => process.exit());
      shared ??= startCluster(inject('clusterBinaries'));
      current = await shared;
    });
    body(() => {
      if (!current) throw new Error('the cluster is there in tests and hooks only, not while they are being collected');
      return current;
    });
  });
}
