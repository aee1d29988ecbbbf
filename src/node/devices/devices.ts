import { setImmediate } from 'node:timers/promises';
import type { BlockDevice } from '../../linux/block.ts';
import type { DeviceKey } from '../../linux/device.ts';
import type { DeviceGrants } from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import type { DeviceClass } from '../../policy/index.ts';
import { KeyedJobs } from '../keyed-jobs.ts';
import { finding } from '../reasons.ts';
import { ensureDirectory, type RunDir } from '../run-dir.ts';
import { ContainerWatch } from './container-watch.ts';
import { Containers } from './containers.ts';
import { type Desired, type DesiredNode, desire, NOTHING_DESIRED } from './desired.ts';
import { KnownDevices, type LeftDevice } from './known-devices.ts';
import { Ledger } from './ledger.ts';
import { asksUdev } from './match.ts';
import { type ActualNode, adjustNode, DEVICES, placeLink, placeNode, readNodes, removeEntry } from './nodes.ts';
import { numberOf } from './numbers.ts';
import { type Plan, plan } from './plan.ts';
import { Udev } from './udev.ts';
import { want } from './wanted.ts';

export interface DevicesOptions {
  readonly runDir: RunDir;
  readonly bootSequence: number;
  readonly classes: readonly DeviceClass[];
  readonly grants: DeviceGrants;
  readonly log: Logger;
  /** A disk that a class takes is still mounted by media. */
  readonly onContested: (disk: string) => void;
  /** Seconds from the event until containers could open the device. */
  readonly onUsable?: (className: string, seconds: number) => void;
}

/** What has been asked for since the last look began. */
interface Request {
  /** Devices to look at, and when that was asked for, in ms since the epoch. */
  readonly keys: Map<DeviceKey, number>;
  allDevices: boolean;
  /** Whether disks that are taken, or in use, still are: that turns on other disks, and on mounts. */
  disks: boolean;
  allContainers: boolean;
}

const nothingAsked = (): Request => ({ keys: new Map(), allDevices: false, disks: false, allContainers: false });

/** A node that is in its place. */
export interface PlacedNode {
  readonly desired: DesiredNode;
  readonly actual: ActualNode;
  /** Path of its link by id, where it has one. */
  readonly link: string | undefined;
}

/** ms after which a look that failed is tried again, each time after twice as long. */
const FIRST_RETRY = 1000;
const LAST_RETRY = 60_000;

const now = (): number => performance.timeOrigin + performance.now();

/**
 * Keeps the nodes of the device classes, and the access of the containers that mount them, what they should be. Nothing in a look waits for a
 * device: it reads sysfs, the run dir's tmpfs and procfs, and writes to the run dir and to cgroups.
 */
export class Devices {
  readonly #options: DevicesOptions;
  readonly #jobs = new KeyedJobs<'look'>(() => this.#look());
  readonly #containers: Containers;
  readonly #watch: ContainerWatch;
  readonly #ledger: Ledger;
  #request = nothingAsked();
  readonly #known: KnownDevices;
  readonly #udev: Udev;
  /** Devices whose nodes could not be made. */
  readonly #failed = new Map<DeviceKey, LeftDevice>();
  #nodes: ReadonlyMap<string, ActualNode> = new Map();
  #desired: Desired = NOTHING_DESIRED;
  /** The identities of the devices that had nodes when the look began, of earlier daemons too. */
  #given: ReadonlySet<string> = new Set();
  #isFirst = true;
  #problem: string | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryDelay = FIRST_RETRY;

  constructor(options: DevicesOptions) {
    this.#options = options;
    const { runDir, bootSequence, classes, log, onContested } = options;
    this.#udev = new Udev(log, (key) => this.look(key));
    const properties = (key: DeviceKey) => this.#udev.properties(key);
    const isGiven = (identity: string) => this.#given.has(identity);
    this.#known = new KnownDevices({ runDir: runDir.path, bootSequence, properties, isGiven, onContested }, classes);
    this.#containers = new Containers(runDir.device);
    this.#ledger = new Ledger(log);
    this.#watch = new ContainerWatch(log, {
      onChange: () => this.#lookAtContainers(),
      onMounts: (pid) => {
        if (this.#containers.lookAt(pid)) this.#jobs.request('look');
      },
    });
    this.#prepare();
  }

  /** Devices that a class would take, if it were not for a reason. */
  get left(): ReadonlyMap<DeviceKey, LeftDevice> {
    return new Map([...this.#known.left, ...this.#failed]);
  }

  /** Why the last look did not come to its end. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get nodes(): readonly PlacedNode[] {
    return [...this.#desired.nodes.values()].flatMap((desired) => {
      const actual = this.#nodes.get(desired.path);
      return actual ? { desired, actual, link: this.#desired.byId.get(desired.path) } : [];
    });
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** The class that a disk is in, or the whole disk of which it is a partition. */
  rawClassOf(block: BlockDevice): string | undefined {
    return this.#known.rawClassOf(block);
  }

  /** New classes: what they change is done at once. */
  setClasses(classes: readonly DeviceClass[]): void {
    this.#known.classes = classes;
    this.#prepare();
    this.lookAtAll();
  }

  /** @param at when it was heard of, in ms since the epoch */
  look(key: DeviceKey, at = now()): void {
    if (this.#known.classes.length === 0) return;
    if (!this.#request.keys.has(key)) this.#request.keys.set(key, at);
    if (key.startsWith('b')) this.#request.disks = true;
    this.#jobs.request('look');
  }

  lookAtAll(): void {
    this.#request.allDevices = true;
    this.#lookAtContainers();
  }

  /** Some mount has come or gone: a disk may be in use by that, or no longer; and containers are being made. */
  mountsChanged(): void {
    if (this.#known.classes.length === 0) return;
    this.#request.disks = true;
    this.#lookAtContainers();
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#udev.close();
    await this.#watch.close();
  }

  #lookAtContainers(): void {
    this.#request.allContainers = true;
    this.#jobs.request('look');
  }

  /** Directories also for classes without a device: pods mount them before one is plugged in. */
  #prepare(): void {
    ensureDirectory(this.#options.runDir, DEVICES);
    for (const { name } of this.#known.classes) ensureDirectory(this.#options.runDir, `${DEVICES}/${name}`);
    this.#watch.setActive(this.#known.classes.length > 0);
    this.#udev.setActive(asksUdev(this.#known.classes));
  }

  async #look(): Promise<void> {
    // A storm of events must not keep others from their turn; and what comes meanwhile is seen by this look.
    await setImmediate();
    const request = this.#request;
    this.#request = nothingAsked();
    // Whatever it was that came first: by what is not known yet, nothing may be taken away.
    if (this.#isFirst) request.allDevices = request.allContainers = true;
    try {
      this.#reconcile(request);
      this.#problem = undefined;
      this.#retryDelay = FIRST_RETRY;
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#options.log.error({ err: error }, `looking at devices failed: tried again in ${this.#retryDelay / 1000} s`);
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.lookAtAll(), this.#retryDelay).unref();
      this.#retryDelay = Math.min(this.#retryDelay * 2, LAST_RETRY);
      this.#request.allDevices = true;
      this.#request.allContainers = true;
    }
  }

  #reconcile(request: Request): void {
    const { runDir } = this.#options;
    const actual = readNodes(runDir);
    this.#given = new Set([...actual.nodes.values()].flatMap(({ record }) => record?.identity ?? []));
    this.#readDevices(request);
    const desired = desire(this.#known.taken);
    const step = plan(desired, actual);
    // One that is known by a process that has ended may have others: to leave it out would be to take its devices away.
    if (request.allContainers || !this.#containers.areAlive()) this.#containers.lookAtAll();
    for (const path of [...step.removedLinks, ...step.removedNodes.map((node) => node.path)]) removeEntry(runDir, path);
    // What was given for a device that has gone, or by a daemon that did not live to make the node, is taken back before its number is
    // given anew.
    if (this.#isFirst) this.#takeOver(step);
    else if (step.removedNodes.length > 0) this.#grant(step.kept.values());
    this.#grant(desired.nodes.values());
    this.#place(step, request);
    this.#desired = desired;
    this.#nodes = readNodes(runDir).nodes;
    this.#isFirst = false;
    this.#watch.setStarting([...this.#containers.known].some(({ isStarting }) => isStarting));
    // Those that are known were served at once; now whoever is not.
    if (step.made.length > 0 && !request.allContainers) this.#lookAtContainers();
  }

  #readDevices({ keys, allDevices, disks }: Request): void {
    if (allDevices) this.#known.lookAtAll();
    else for (const key of keys.keys()) this.#known.look(key);
    if (disks && !allDevices) this.#known.lookAtDisks();
  }

  /** What earlier daemons have granted stays where it is still right. */
  #takeOver({ kept }: Plan): void {
    this.#ledger.inherit(this.#options.grants.granted());
    this.#grant(kept.values());
  }

  #grant(nodes: Iterable<DesiredNode>): void {
    const { grants, entitlements } = want(this.#containers.known, nodes);
    this.#ledger.update(entitlements, this.#options.grants.reconcile(grants));
  }

  #place({ made, adjusted, linked }: Plan, { keys }: Request): void {
    const { runDir, log, onUsable } = this.#options;
    this.#failed.clear();
    for (const node of made) {
      const { device, deviceClass } = node;
      this.#attempt(node, () => {
        placeNode(runDir, node);
        const askedAt = keys.get(device.key);
        const seconds = askedAt === undefined ? undefined : (now() - askedAt) / 1000;
        if (seconds !== undefined) onUsable?.(deviceClass.name, seconds);
        log.info(
          { device: device.name, number: numberOf(device.key), class: deviceClass.name, path: node.path, seconds },
          'device added',
        );
      });
    }
    for (const node of adjusted) this.#attempt(node, () => adjustNode(runDir, node));
    for (const [path, target] of linked) {
      try {
        placeLink(runDir, path, target);
      } catch (error) {
        log.error({ err: error, path }, 'a link could not be made');
      }
    }
  }

  /** One that fails must not take the others along. */
  #attempt({ device, path }: DesiredNode, action: () => void): void {
    try {
      action();
    } catch (error) {
      const failure = finding('run_dir_failed', { path: `${DEVICES}/${path}`, detail: (error as Error).message });
      this.#failed.set(device.key, { ...failure, device: device.name });
      this.#options.log.error({ device: device.name, reason: failure.reason }, failure.message);
    }
  }
}
