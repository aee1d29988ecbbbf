import { ruleDevice, ruleDeviceOf } from '../../linux/device-cgroup/index.ts';
import type { ContainerIdentity } from '../containers/identity.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { DEVICES, readNodes } from './actual.ts';
import type { DeviceController } from './controller.ts';

export interface DeviceStatus {
  /** The kernel's name, `ttyUSB0`. */
  readonly device: string;
  /** As in the rules of device cgroups, `c 188:0`. */
  readonly number: string;
  readonly class: string;
  readonly access: string;
  readonly path: string;
  /** Its link by id, where the device says anything of itself. */
  readonly byId?: string;
  readonly bus: string;
  /** `vendor:product`, as lsusb prints it; empty for others. */
  readonly usb: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  /** The port, as in udev's ID_PATH. */
  readonly port: string;
  readonly since: string;
  /** The containers that mount the class. */
  readonly containers: readonly DeviceContainer[];
}

export interface DeviceContainer extends ContainerIdentity {
  /** Directory of its cgroup. */
  readonly cgroup: string;
  /** `unneeded`: it may open every device anyhow. `waiting`: others have the class first (`maxContainers`). */
  readonly state: 'granted' | 'unneeded' | 'refused' | 'waiting';
  readonly since: string;
  /** Why it was refused, and what to do. */
  readonly reason?: string;
  readonly message?: string;
}

export interface DeviceLeft {
  readonly device: string;
  readonly number: string;
  readonly kind: 'skipped' | 'failed';
  readonly reason: string;
  readonly message: string;
}

/** What the status says of device classes. */
export interface DevicesStatus {
  readonly devices: readonly DeviceStatus[];
  /** Devices that a class matches and that containers do not get. */
  readonly devicesLeft: readonly DeviceLeft[];
  /** Why devices are not managed as they should be. */
  readonly devicesProblem?: string;
}

/** How the devices of all classes stand now, sorted by the paths of their nodes; times are ISO 8601. */
export function devicesStatus({ nodes, rejected, audit, problem }: DeviceController, runDir: RunDir): DevicesStatus {
  const full = (path: string): string => `${runDir.path}/${DEVICES}/${path}`;
  const grants = Map.groupBy(audit.grants, ({ path }) => path);
  return {
    ...(problem === undefined ? {} : { devicesProblem: problem }),
    devices: nodes
      .map(({ desired: { path, device, deviceClass }, actual, link }) => ({
        device: device.name,
        number: ruleDeviceOf(device.key),
        class: deviceClass.name,
        access: deviceClass.access,
        path: full(path),
        ...(link ? { byId: full(link) } : {}),
        bus: device.bus,
        usb: device.usb,
        vendor: device.vendor,
        model: device.model,
        serial: device.serial,
        port: device.path,
        since: actual.record?.since ?? '',
        containers: (grants.get(path) ?? []).map(({ cgroup, podUid, containerId, state, since, reason, message }) => ({
          cgroup,
          ...(podUid ? { podUid } : {}),
          ...(containerId ? { containerId } : {}),
          state,
          since,
          ...(reason ? { reason } : {}),
          ...(message ? { message } : {}),
        })),
      }))
      .sort((a, b) => a.path.localeCompare(b.path, 'en', { numeric: true })),
    devicesLeft: [...rejected].map(([key, { device, kind, reason, message }]) => ({
      device,
      number: ruleDeviceOf(key),
      kind,
      reason,
      message,
    })),
  };
}

/** The nodes of a run dir that no daemon serves. */
export const leftNodes = (runDir: RunDir): { path: string; number: string; since: string }[] =>
  [...readNodes(runDir).nodes.values()].map(({ path, type, major, minor, record }) => ({
    path: `${runDir.path}/${DEVICES}/${path}`,
    number: ruleDevice({ type, major, minor }),
    since: record?.since ?? '',
  }));
