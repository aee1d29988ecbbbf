import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createProgramMetrics, type ProgramMetrics } from '../observability/program-metrics.ts';
import type { DeviceController } from './devices/controller.ts';
import type { LiveController } from './live/controller.ts';
import type { MediaController } from './media/controller.ts';
import { MEDIA_NOTES } from './media/notes.ts';
import type { Space } from './media/space.ts';
import { MEDIA_REASONS } from './reasons.ts';

/** What the daemon tells Prometheus. */
export interface NodeMetrics extends ProgramMetrics {
  mounted(className: string, seconds: number): void;
  usable(className: string, seconds: number): void;
  overflow(): void;
  csiCall(method: string, code: string): void;
  /** What is read off at each scrape. */
  observe(media: MediaController, devices: DeviceController, live: LiveController): void;
}

function observeDevices(devices: DeviceController, registers: Registry[]): void {
  new Gauge({
    name: 'hotmount_devices',
    help: 'Device nodes in place, by device class.',
    labelNames: ['class'],
    registers,
    collect() {
      this.reset();
      for (const { desired } of devices.nodes) this.inc({ class: desired.deviceClass.name });
    },
  });
  new Gauge({
    name: 'hotmount_device_grants',
    help: 'Devices that containers have been given access to, counted once for each container, by device class.',
    labelNames: ['class'],
    registers,
    collect() {
      this.reset();
      for (const grant of devices.audit.grants) if (grant.state === 'granted') this.inc({ class: grant.class });
    },
  });
  new Gauge({
    name: 'hotmount_device_grants_refused',
    help: 'Devices that containers should have access to and have not, counted once for each container, by reason.',
    labelNames: ['class', 'reason'],
    registers,
    collect() {
      this.reset();
      for (const { state, reason, class: name } of devices.audit.grants) {
        if (state === 'refused') this.inc({ class: name, reason: reason ?? '' });
      }
    },
  });
}

/** One scrape asks the disks once: what they answer holds for some seconds. */
function observeSpace(media: MediaController, registers: Registry[]): void {
  const gauge = (name: string, help: string, figure: (space: Space) => number | undefined): void => {
    new Gauge({
      name,
      help,
      labelNames: ['class', 'name'],
      registers,
      async collect() {
        this.reset();
        const spaces = await media.readSpace();
        for (const [disk, state] of media.states) {
          const space = spaces.get(disk);
          const value = space && figure(space);
          if (state.kind !== 'mounted' || value === undefined) continue;
          this.set({ class: state.mounted.className, name: state.mounted.directory }, value);
        }
      },
    });
  };
  gauge('hotmount_media_size_bytes', 'How much fits on a mounted disk.', ({ size }) => size);
  gauge('hotmount_media_free_bytes', 'How much of that is free.', ({ free }) => free);
  gauge(
    'hotmount_media_dirty_bytes',
    'What programs have written to the disk and is not on it yet, where the kernel tells.',
    ({ dirty }) => dirty,
  );
}

function observeLive(live: LiveController, registers: Registry[]): void {
  new Gauge({
    name: 'hotmount_live_classes',
    help: 'Classes that live pods have been given, counted once for each pod; kind is media or devices.',
    labelNames: ['kind'],
    registers,
    collect() {
      this.reset();
      for (const { classes } of live.states.values()) {
        for (const place of classes.keys()) this.inc({ kind: place.split('/')[0] ?? '' });
      }
    },
  });
  new Gauge({
    name: 'hotmount_live_not_given',
    help: 'What live pods ask for and are not given, by reason.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const { refusals } of live.states.values()) for (const { reason } of refusals) this.inc({ reason });
    },
  });
}

export function createNodeMetrics(version: string): NodeMetrics {
  const program = createProgramMetrics(version);
  const registers = [program.registry];
  const hotplug = new Histogram({
    name: 'hotmount_hotplug_seconds',
    help: 'Time from the kernel event of a disk until it can be read in the pods.',
    labelNames: ['class'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  const deviceHotplug = new Histogram({
    name: 'hotmount_device_hotplug_seconds',
    help: 'Time from the kernel event of a device until the pods can open its node.',
    labelNames: ['class'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  });
  const overflows = new Counter({
    name: 'hotmount_uevent_overflows_total',
    help: 'Times the kernel dropped events because the receive buffer was full; all disks are reconciled again then.',
    registers,
  });
  const csiCalls = new Counter({
    name: 'hotmount_csi_calls_total',
    help: "The kubelet's calls of the CSI driver, by method and gRPC code.",
    labelNames: ['method', 'code'],
    registers,
  });

  return {
    ...program,
    mounted: (className, seconds) => hotplug.observe({ class: className }, seconds),
    overflow: () => overflows.inc(),
    csiCall: (method, code) => csiCalls.inc({ method, code }),
    usable: (className, seconds) => deviceHotplug.observe({ class: className }, seconds),
    observe(media, devices, live) {
      observeDevices(devices, registers);
      observeLive(live, registers);
      new Gauge({
        name: 'hotmount_media_mounts',
        help: 'Disks mounted, by media class.',
        labelNames: ['class'],
        registers,
        collect() {
          this.reset();
          for (const state of media.states.values()) {
            if (state.kind === 'mounted') this.inc({ class: state.mounted.className });
          }
        },
      });
      observeSpace(media, registers);
      new Gauge({
        name: 'hotmount_media_not_mounted',
        help: 'Disks not mounted, and pods with users of their own that one is not shown to (view_failed), by reason; kind is skipped where that is as it should be, failed where it is not.',
        labelNames: ['kind', 'reason'],
        registers,
        collect() {
          this.reset();
          for (const [reason, { kind }] of Object.entries(MEDIA_REASONS)) this.set({ kind, reason }, 0);
          for (const state of media.states.values()) {
            const findings = state.kind === 'mounted' ? state.notShown.map(({ finding }) => finding) : [state];
            for (const { kind, reason } of findings) this.inc({ kind, reason });
          }
        },
      });
      new Gauge({
        name: 'hotmount_media_noted',
        help: 'Mounted disks of which something is to be known, by reason: turned_read_only is a disk that fails.',
        labelNames: ['reason'],
        registers,
        collect() {
          this.reset();
          for (const reason of Object.keys(MEDIA_NOTES)) this.set({ reason }, 0);
          for (const notes of media.readNotes().values()) for (const { reason } of notes) this.inc({ reason });
        },
      });
      new Gauge({
        name: 'hotmount_media_working',
        help: 'Disks that a child process is at work for; one that stays has a slow disk, or one that hangs.',
        labelNames: ['doing'],
        registers,
        collect() {
          this.reset();
          for (const { doing } of media.working.values()) this.inc({ doing });
        },
      });
    },
  };
}
