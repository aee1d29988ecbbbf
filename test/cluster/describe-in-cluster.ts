import { beforeAll, inject } from 'vitest';
import { describeUnless } from '../describe-unless.ts';
import { type Cluster, startCluster } from './cluster.ts';

/** One cluster for all files of the project: they run one after the other in one process (vitest.config.ts). */
let shared: Promise<Cluster> | undefined;

/**
 * As vitest's `describe`, for tests with a control plane: `cluster()` gives it to them. What a file makes in the cluster it removes.
 */
export function describeInCluster(name: string, body: (cluster: () => Cluster) => void): void {
  describeUnless(inject('clusterObstacle'), name, () => {
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
