import type { ClusterStatus } from '../../../src/commands/kubectl/cluster-status.ts';
import type { NodeStatus } from '../../../src/node/status.ts';

const minutesAgo = (minutes: number): string => new Date(NOW.getTime() - minutes * 60_000).toISOString();
export const NOW = new Date('2026-05-04T10:00:00Z');
export const POLICY = { configMap: 'hotmount-system/hotmount-policy', digest: '1f0c9a3b77de' };

/** A node that is well, without anything plugged in. */
export const idle = (more: Partial<NodeStatus> = {}): NodeStatus => ({
  daemon: { version: '0.1.0', kernel: '6.12.9', cgroups: 'v2', pid: 71, startedAt: minutesAgo(3000), ready: true },
  runDir: '/run/hotmount',
  policy: {
    source: '/etc/hotmount/policy.yaml',
    digest: POLICY.digest,
    since: minutesAgo(3000),
    mediaClasses: ['usb'],
    deviceClasses: ['serial'],
  },
  mounted: [],
  notMounted: [],
  devices: [],
  devicesLeft: [],
  unclaimed: [],
  working: [],
  departed: [],
  csi: { kubeletDir: '/var/lib/kubelet', registered: true, volumes: 12 },
  lxcfs: {
    supervisor: { version: '0.1.0', policy: '/etc/hotmount/policy.yaml', pid: 80, startedAt: minutesAgo(3000) },
    ready: true,
    settled: true,
    views: ['cpuinfo', 'meminfo'],
    missingViews: [],
    untrueViews: [],
    instances: [
      { id: 'a', role: 'active', pid: 90, version: '6.0.4', since: minutesAgo(3000), path: '/usr/bin/lxcfs' },
    ],
    restarts: 0,
    attached: { containers: 9, files: 40, nodeFiles: 0 },
    unhealed: [],
  },
  ...more,
});

export const busy = (): NodeStatus =>
  idle({
    mounted: [
      {
        disk: 'sdb1',
        class: 'usb',
        fsType: 'vfat',
        label: '照片',
        uuid: '1234-ABCD',
        path: '/run/hotmount/media/usb/照片',
        options: ['rw', 'nosuid', 'nodev', 'noexec'],
        since: minutesAgo(5),
        containers: 3,
        pods: [
          { podUid: 'a', pod: 'edge/copier-6f7c9d5b4-x2x7q' },
          { podUid: 'b', pod: 'edge/copier-6f7c9d5b4-9hl2k' },
          { podUid: 'c', pod: 'shop/reader' },
        ],
      },
    ],
    notMounted: [
      ...[0, 1, 2, 3, 4, 5].map((n) => ({
        disk: `loop${n}`,
        kind: 'skipped' as const,
        reason: 'no_class',
        message: 'no media class matches it',
      })),
      {
        disk: 'sdc1',
        kind: 'failed',
        reason: 'mount_failed',
        message: 'mount: the superblock of this file system cannot be read; e2fsck(8) may help, or the disk is broken',
      },
    ],
    devices: [
      {
        device: 'ttyUSB0',
        number: 'c 188:0',
        class: 'serial',
        access: 'rw',
        path: '/run/hotmount/devices/serial/ttyUSB0',
        bus: 'usb',
        usb: '0403:6001',
        vendor: 'FTDI',
        model: 'FT232R USB UART',
        serial: 'A5069RR4',
        port: 'pci-0000:00:14.0-usb-0:2:1.0',
        since: minutesAgo(600),
        containers: [
          { cgroup: '/a', podUid: 'd', pod: 'edge/modem', state: 'granted', since: minutesAgo(600) },
          {
            cgroup: '/b',
            podUid: 'e',
            pod: 'edge/second',
            state: 'waiting',
            since: minutesAgo(60),
            reason: 'max_containers',
            message: 'edge/modem has the class first, and maxContainers is 1',
          },
        ],
      },
    ],
  });

export const CLUSTER: ClusterStatus = {
  apiVersion: 'hotmount.io/v1alpha1',
  kind: 'ClusterStatus',
  policy: POLICY,
  nodes: [
    { node: 'edge-1', pod: 'hotmount-system/hotmount-node-4vzlp', status: busy() },
    {
      node: 'edge-2',
      pod: 'hotmount-system/hotmount-node-9k2ss',
      status: idle({
        daemon: { ...idle().daemon, ready: false, problem: 'the run dir is not shared with the node' },
        policy: { ...idle().policy, digest: '000000000000' },
        lxcfs: { problem: 'no lxcfs supervisor answers' },
      }),
    },
    { node: 'edge-3', pod: 'hotmount-system/hotmount-node-zz9fd', problem: 'no answer within 10 s (--timeout)' },
    { node: 'edge-4', problem: 'no hotmount node runs there' },
  ],
};
