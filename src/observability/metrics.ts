import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What the webhook tells Prometheus. One registry a server: several can run in one process. */
export interface WebhookMetrics {
  readonly registry: Registry;
  /** A review that was decided. */
  decided(outcome: 'allowed' | 'denied', reason: string, seconds: number): void;
  /** A request that got no decision: answered with a 4xx (`invalid`) or a 5xx (`failed`). */
  refused(outcome: 'invalid' | 'failed', reason: string): void;
  policyReload(outcome: PolicyReloadOutcome): void;
  /** Asked for at each scrape: when the certificate in use ends, or undefined where there is none yet. */
  certificateExpiry(read: () => Date | undefined): void;
}

export type PolicyReloadOutcome = 'success' | 'failure';

/**
 * prom-client's default metrics stay out: they come with monitorEventLoopDelay, which wakes the process 100 times a second.
 */
export function createWebhookMetrics(version: string): WebhookMetrics {
  const registry = new Registry();
  const registers = [registry];

  const requests = new Counter({
    name: 'hotmount_admission_requests_total',
    help: 'Admission requests answered, by outcome and by the reason code that decided.',
    labelNames: ['outcome', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'hotmount_admission_duration_seconds',
    help: 'Time from a review being read to its answer being handed to the connection.',
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
    registers,
  });
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
    decided(outcome, reason, seconds) {
      requests.inc({ outcome, reason });
      duration.observe(seconds);
    },
    refused(outcome, reason) {
      requests.inc({ outcome, reason });
    },
    policyReload(outcome) {
      reloads.inc({ outcome });
      broken.set(outcome === 'failure' ? 1 : 0);
    },
    certificateExpiry(read) {
      new Gauge({
        name: 'hotmount_certificate_expiry_timestamp_seconds',
        help: 'When the serving certificate in use ends, in seconds since 1970.',
        registers,
        collect() {
          const date = read();
          if (date) this.set(date.getTime() / 1000);
        },
      });
    },
  };
}
