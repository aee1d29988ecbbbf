import { setImmediate } from 'node:timers/promises';
import type { BlockDevice } from '../../linux/block.ts';
import type { DeviceKey } from '../../linux/device.ts';
import type { DeviceGrants } from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import type { DeviceClass } from '../../policy/index.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import { Retry } from '../reconcile/retry.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import { type ActualNode, DEVICES, readNodes, removeEntry } from './actual.ts';
import { Applier } from './apply.ts';
import { GrantAudit } from './audit.ts';
import { endsWithoutEvent } from './classify.ts';
import { ContainerWatch } from './container-watch.ts';
import { Containers } from './containers.ts';
import { type Desired, type DesiredNode, desire, NOTHING_DESIRED } from './desired.ts';
import { desireGrants } from './desired-grants.ts';
import { Inventory, type RejectedDevice } from './inventory.ts';
import { asksUdev } from './match.ts';
import { type Plan, plan } from './plan.ts';
import { Udev } from './udev.ts';

export interface DeviceControllerOptions {
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

/** ms after which a look that failed, or left something undone, is tried again. */
const RETRY = { first: 1000, last: 60_000 };

const now = (): number => performance.timeOrigin + performance.now();

/**
 * Keeps the nodes of the device classes, and the access of the containers that mount them, what they should be. Nothing in a look waits for a
 * device: it reads sysfs, the run dir's tmpfs and procfs, and writes to the run dir and to cgroups.
 */
export class DeviceController {
  readonly #options: DeviceControllerOptions;
  readonly #jobs = new KeyedQueue<'look'>(() => this.#look());
  readonly #containers: Containers;
  readonly #watch: ContainerWatch;
  readonly #ledger: GrantAudit;
  #request = nothingAsked();
  readonly #known: Inventory;
  readonly #udev: Udev;
  readonly #placement: Applier;
  #nodes: ReadonlyMap<string, ActualNode> = new Map();
  #desired: Desired = NOTHING_DESIRED;
  /** The identities of the devices that had nodes when the look began, of earlier daemons too. */
  #given: ReadonlySet<string> = new Set();
  #isFirst = true;
  #problem: string | undefined;
  readonly #retry = new Retry(() => this.lookAtAll(), RETRY);

  constructor(options: DeviceControllerOptions) {
    this.#options = options;
    const { runDir, bootSequence, classes, log, onContested } = options;
    this.#udev = new Udev(log, (key) => this.look(key));
    const udev = (key: DeviceKey) => this.#udev.record(key);
    const isGiven = (identity: string) => this.#given.has(identity);
    this.#known = new Inventory({ runDir: runDir.path, bootSequence, udev, isGiven, onContested }, classes);
    this.#placement = new Applier(options);
    this.#containers = new Containers(runDir.device);
    this.#ledger = new GrantAudit(log);
    this.#watch = new ContainerWatch(log, {
      onChange: () => this.#lookAtContainers(),
      onMounts: (pid) => this.#lookAtContainer(pid),
    });
  }

  /** Devices that a class would take, if it were not for a reason. */
  get left(): ReadonlyMap<DeviceKey, RejectedDevice> {
    return new Map([...this.#known.left, ...this.#placement.failed]);
  }

  /** Why devices are not looked after as they should be. */
  get problem(): string | undefined {
    return this.#problem ?? this.#watch.problem ?? this.#udev.problem;
  }

  get nodes(): readonly PlacedNode[] {
    return [...this.#desired.nodes.values()].flatMap((desired) => {
      const actual = this.#nodes.get(desired.path);
      return actual ? { desired, actual, link: this.#desired.byId.get(desired.path) } : [];
    });
  }

  get ledger(): GrantAudit {
    return this.#ledger;
  }

  /** The class that a disk is in, or the whole disk of which it is a partition. */
  rawClassOf(block: BlockDevice): string | undefined {
    return this.#known.rawClassOf(block);
  }

  /** New classes: what they change is done at once. */
  setClasses(classes: readonly DeviceClass[]): void {
    this.#known.classes = classes;
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

  close(): void {
    this.#retry.set(false);
    this.#udev.close();
    this.#watch.close();
  }

  #lookAtContainer(pid: number): void {
    try {
      if (this.#containers.lookAt(pid)) this.#jobs.request('look');
    } catch {
      // The look at all of them is tried again where that fails, too.
      this.#lookAtContainers();
    }
  }

  #lookAtContainers(): void {
    this.#request.allContainers = true;
    this.#jobs.request('look');
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
      this.#retry.set(this.#isUnsettled());
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#options.log.error({ err: error }, 'looking at devices failed: it is tried again, within a minute');
      this.#retry.set(true);
      this.#request.allDevices = true;
      this.#request.allContainers = true;
    }
  }

  #reconcile(request: Request): void {
    const { runDir } = this.#options;
    const { classes } = this.#known;
    this.#watch.setActive(classes.length > 0);
    this.#udev.setActive(classes.length > 0, asksUdev(classes));
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
    // Also for classes without a device: pods mount them before one is plugged in.
    for (const name of ['', ...classes.map((one) => `/${one.name}`)]) ensureDirectory(runDir, `${DEVICES}${name}`);
    this.#placement.carryOut(step, request.keys);
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
    const { rules, grants } = desireGrants(this.#containers.known, nodes);
    this.#ledger.update(grants, this.#options.grants.reconcile(rules));
  }

  /** Whether something is left undone that may be done at the next try, and has no event that would say when. */
  #isUnsettled(): boolean {
    const isAwaited = this.#known.left.values().some(endsWithoutEvent);
    return isAwaited || !this.#placement.isComplete || this.#ledger.isUnsettled || this.#udev.problem !== undefined;
  }
}
