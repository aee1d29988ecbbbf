import { Counter, Gauge, Registry } from 'prom-client';

export type PolicyReloadOutcome = 'success' | 'failure';

/** What both programs tell Prometheus. One registry a server: several can run in one process. */
export interface ProgramMetrics {
  readonly registry: Registry;
  policyReload(outcome: PolicyReloadOutcome): void;
}

/** prom-client's default metrics stay out: they come with monitorEventLoopDelay, which wakes the process 100 times a second. */
export function createProgramMetrics(version: string): ProgramMetrics {
  const registry = new Registry();
  const registers = [registry];
  const reloads = new Counter({
    name: 'hotmount_policy_reloads_total',
    help: 'Policy changes seen; after a failure the last good policy stays in force.',
    labelNames: ['outcome'],
    registers,
  });
  // A series that only appears with the first failure cannot be alerted on with increase().
  for (const outcome of ['success', 'failure'] satisfies PolicyReloadOutcome[]) reloads.inc({ outcome }, 0);
  const broken = new Gauge({
    name: 'hotmount_policy_broken',
    help: '1 while the policy that was written last cannot be used, and an older one, or none, is in force.',
    registers,
  });
  new Gauge({
    name: 'hotmount_build_info',
    help: 'Always 1; the labels say what is running.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version, node: process.versions.node }, 1);
  return {
    registry,
    policyReload(outcome) {
      reloads.inc({ outcome });
      broken.set(outcome === 'failure' ? 1 : 0);
    },
  };
}
