import { Counter, Gauge, Histogram } from 'prom-client';
import { createProgramMetrics, type ProgramMetrics } from './program-metrics.ts';

/** What the webhook tells Prometheus. */
export interface WebhookMetrics extends ProgramMetrics {
  /** A review that was decided. */
  decided(outcome: 'allowed' | 'denied', reason: string, seconds: number): void;
  /** A request that got no decision: answered with a 4xx (`invalid`) or a 5xx (`failed`). */
  refused(outcome: 'invalid' | 'failed', reason: string): void;
  /** Connections closed, or unfinished bodies given up, for those of others. */
  displaced(what: 'connection' | 'body', count: number): void;
  /** Asked for at each scrape: when the certificate in use ends, or undefined where there is none yet. */
  certificateExpiry(read: () => Date | undefined): void;
}

/** With a registry of their own: several webhooks can run in one process. `version` is for the build info. */
export function createWebhookMetrics(version: string): WebhookMetrics {
  const program = createProgramMetrics(version);
  const registers = [program.registry];

  const requests = new Counter({
    name: 'hotmount_admission_requests_total',
    help: 'Admission requests answered, by outcome and by the reason code that decided.',
    labelNames: ['outcome', 'reason'],
    registers,
  });
  // As with the reloads: these are alerted on with increase().
  for (const reason of ['internal_error', 'namespace_labels_unknown', 'overloaded'])
    requests.inc({ outcome: 'failed', reason }, 0);
  const displaced = new Counter({
    name: 'hotmount_admission_displaced_total',
    help: 'Connections closed, and unfinished bodies given up, because there were too many: others than API servers reach the webhook.',
    labelNames: ['what'],
    registers,
  });
  for (const what of ['connection', 'body']) displaced.inc({ what }, 0);
  const duration = new Histogram({
    name: 'hotmount_admission_duration_seconds',
    help: 'Time from a review being read to its answer being handed to the connection.',
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
    registers,
  });

  return {
    ...program,
    decided(outcome, reason, seconds) {
      requests.inc({ outcome, reason });
      duration.observe(seconds);
    },
    refused(outcome, reason) {
      requests.inc({ outcome, reason });
    },
    displaced(what, count) {
      displaced.inc({ what }, count);
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
