import type { DeviceKey } from '../../linux/device.ts';
import { ruleDeviceOf } from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import { finding } from '../reasons.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { DEVICES } from './actual.ts';
import type { DesiredNode } from './desired.ts';
import type { RejectedDevice } from './inventory.ts';
import { adjustNode, placeLink, placeNode } from './nodes.ts';
import type { Plan } from './plan.ts';

export interface ApplierOptions {
  readonly runDir: RunDir;
  readonly log: Logger;
  /** Seconds from the event until containers could open the device. */
  readonly onUsable?: (className: string, seconds: number) => void;
}

/** Carries out a plan: makes and adjusts nodes and links. A failure of one does not affect the others. */
export class Applier {
  readonly #options: ApplierOptions;
  #failed = new Map<DeviceKey, RejectedDevice>();
  /** What could not be made, by its path, and why: logged once. */
  #failures = new Map<string, string>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** Devices whose nodes could not be made. */
  get failed(): ReadonlyMap<DeviceKey, RejectedDevice> {
    return this.#failed;
  }

  /** Whether everything was made. */
  get isComplete(): boolean {
    return this.#failures.size === 0;
  }

  /** @param askedAt when each device's event was received, in ms since the epoch */
  carryOut({ made, adjusted, linked }: Plan, askedAt: ReadonlyMap<DeviceKey, number>): void {
    const { runDir, log } = this.#options;
    const told = this.#failures;
    this.#failures = new Map();
    this.#failed = new Map();
    for (const node of made) this.#attempt(node, told, () => this.#make(node, askedAt.get(node.device.key)));
    for (const node of adjusted) this.#attempt(node, told, () => adjustNode(runDir, node));
    for (const [path, target] of linked) {
      try {
        placeLink(runDir, path, target);
      } catch (error) {
        const message = `the link ${DEVICES}/${path} to ${target} could not be made: ${(error as Error).message}. It is tried again; until then the device has no name by id`;
        this.#failures.set(path, message);
        if (told.get(path) !== message) log.error({ path }, message);
      }
    }
  }

  #make(node: DesiredNode, askedAt: number | undefined): void {
    const { runDir, log, onUsable } = this.#options;
    const { device, deviceClass, path } = node;
    placeNode(runDir, node);
    const now = performance.timeOrigin + performance.now();
    const seconds = askedAt === undefined ? undefined : (now - askedAt) / 1000;
    if (seconds !== undefined) onUsable?.(deviceClass.name, seconds);
    const number = ruleDeviceOf(device.key);
    log.info({ device: device.name, number, class: deviceClass.name, path, seconds }, 'device added');
  }

  #attempt({ device, path }: DesiredNode, told: ReadonlyMap<string, string>, action: () => void): void {
    try {
      action();
    } catch (error) {
      const failure = finding('run_dir_failed', { path: `${DEVICES}/${path}`, detail: (error as Error).message });
      this.#failed.set(device.key, { ...failure, device: device.name });
      this.#failures.set(path, failure.message);
      if (told.get(path) === failure.message) return;
      this.#options.log.error({ device: device.name, reason: failure.reason }, failure.message);
    }
  }
}
