import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LxcfsStatus } from './status.ts';

export interface LxcfsMetrics {
  readonly registry: Registry;
  restarted(): void;
  attached(files: number): void;
  attachedAfter(seconds: number): void;
}

/** What the supervisor counts; `hotmount node` shows it with its own. */
export function createLxcfsMetrics(status: () => LxcfsStatus): LxcfsMetrics {
  const registry = new Registry();
  const registers = [registry];
  const restarts = new Counter({
    name: 'hotmount_lxcfs_restarts_total',
    help: 'Instances of lxcfs that ended, or kept readers waiting and were ended.',
    registers,
  });
  const files = new Counter({
    name: 'hotmount_lxcfs_reattached_files_total',
    help: 'Files of lxcfs put in place in running containers.',
    registers,
  });
  const seconds = new Histogram({
    name: 'hotmount_lxcfs_reattach_seconds',
    help: 'Time from noticing that the active lxcfs is lost, or is to be replaced, until the last container reads from another.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  });
  const gauge = (name: string, help: string, read: (status: LxcfsStatus) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(status()));
      },
    });
  };
  gauge('hotmount_lxcfs_ready', '1 where an instance is published that tells readers their own limits.', ({ ready }) =>
    Number(ready),
  );
  gauge(
    'hotmount_lxcfs_instances',
    'Instances of lxcfs that serve or can.',
    ({ instances }) => instances.filter(({ role }) => role === 'active' || role === 'standby').length,
  );
  gauge(
    'hotmount_lxcfs_attached_files',
    'Files of the active lxcfs in containers, at the last resync.',
    ({ attached }) => attached.files,
  );
  gauge(
    'hotmount_lxcfs_node_files',
    'Files in containers that show the node’s values, since no lxcfs serves them, at the last resync.',
    ({ attached }) => attached.nodeFiles,
  );
  gauge(
    'hotmount_lxcfs_unhealed_files',
    'Files in containers that could not be put in place; the status says why.',
    ({ unhealed }) => unhealed.length,
  );
  new Gauge({
    name: 'hotmount_lxcfs_untrue_view',
    help: '1 for each view in which the active lxcfs tells the node’s values; the status says how that was seen.',
    labelNames: ['view'],
    registers,
    collect() {
      this.reset();
      for (const { view, isPartly } of status().untrueViews) if (!isPartly) this.set({ view }, 1);
    },
  });
  return {
    registry,
    restarted: () => restarts.inc(),
    attached: (count) => files.inc(count),
    attachedAfter: (duration) => seconds.observe(duration),
  };
}
