import { statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { BlockDevice } from '../../linux/block.ts';
import type { DeviceKey } from '../../linux/device.ts';
import type { DeviceGrants } from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import type { DeviceClass } from '../../policy/index.ts';
import type { DiskClaims } from '../block/disk-claims.ts';
import type { ExclusiveOpener } from '../block/exclusive-opener.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import { Retry } from '../reconcile/retry.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import { type ActualNode, DEVICES, readNodes } from './actual.ts';
import { Applier } from './apply.ts';
import { GrantAudit } from './audit.ts';
import { endsWithoutEvent } from './classify.ts';
import { ContainerWatch } from './container-watch.ts';
import { Containers } from './containers.ts';
import { type Desired, type DesiredNode, desire, NOTHING_DESIRED } from './desired.ts';
import { desireGrants } from './desired-grants.ts';
import { DiskExclusivity } from './exclusivity.ts';
import { Inventory, type RejectedDevice } from './inventory.ts';
import { asksUdev } from './match.ts';
import { removeEntry } from './nodes.ts';
import { type Plan, plan } from './plan.ts';
import { Udev } from './udev.ts';

export interface DeviceControllerOptions {
  readonly runDir: RunDir;
  readonly bootSequence: number;
  readonly classes: readonly DeviceClass[];
  readonly grants: DeviceGrants;
  readonly opener: ExclusiveOpener;
  readonly log: Logger;
  readonly claims: DiskClaims;
  /** Seconds from the event until containers could open the device. */
  readonly onUsable?: (className: string, seconds: number) => void;
  /** The nodes may be others now. */
  readonly onReconciled?: () => void;
}

/** What has been asked for since the last reconciliation began. */
interface Request {
  /** Devices to read again, and when that was asked for, in ms since the epoch. */
  readonly keys: Map<DeviceKey, number>;
  allDevices: boolean;
  /** Check again whether disks that are matched, or in use, still are: that depends on other disks and on mounts. */
  disks: boolean;
  allContainers: boolean;
}

const nothingAsked = (): Request => ({ keys: new Map(), allDevices: false, disks: false, allContainers: false });

/** A node that exists as desired. */
export interface PlacedNode {
  readonly desired: DesiredNode;
  readonly actual: ActualNode;
  /** Path of its link by id, where it has one. */
  readonly link: string | undefined;
}

/** ms after which a reconciliation that failed, or left something undone, is tried again. */
const RETRY = { first: 1000, last: 60_000 };

const now = (): number => performance.timeOrigin + performance.now();

/**
 * Keeps the nodes of the device classes, and the access of the containers that mount them, what they should be. Nothing in it waits for a
 * device: it reads sysfs, the run dir's tmpfs and procfs, and writes to the run dir and to cgroups.
 */
export class DeviceController {
  readonly #options: DeviceControllerOptions;
  readonly #jobs = new KeyedQueue<'devices'>(() => this.#run());
  readonly #containers: Containers;
  readonly #watch: ContainerWatch;
  readonly #audit: GrantAudit;
  #request = nothingAsked();
  readonly #inventory: Inventory;
  readonly #udev: Udev;
  readonly #applier: Applier;
  #nodes: ReadonlyMap<string, ActualNode> = new Map();
  #desired: Desired = NOTHING_DESIRED;
  /** The identities of the devices that had nodes when the reconciliation began, of earlier daemons too. */
  #given: ReadonlySet<string> = new Set();
  #isFirst = true;
  #problem: string | undefined;
  readonly #retry = new Retry(() => this.resync(), RETRY);

  constructor(options: DeviceControllerOptions) {
    this.#options = options;
    const { runDir, bootSequence, classes, log, claims } = options;
    this.#udev = new Udev(log, (key) => this.enqueue(key));
    const udev = (key: DeviceKey) => this.#udev.record(key);
    const isGiven = (identity: string) => this.#given.has(identity);
    const exclusivity = new DiskExclusivity(options.opener, ({ device }) => this.enqueue(`b${device}` as DeviceKey));
    const exclusive = (block: BlockDevice) => exclusivity.of(block);
    this.#inventory = new Inventory({ runDir: runDir.path, bootSequence, udev, isGiven, exclusive, claims }, classes);
    claims.claimBy((disk) => this.#inventory.claimOn(disk));
    this.#applier = new Applier(options);
    this.#containers = new Containers(runDir.device);
    this.#audit = new GrantAudit(log);
    this.#watch = new ContainerWatch(log, {
      onChange: () => this.#resyncContainers(),
      onMounts: (pid) => this.#refreshContainer(pid),
    });
  }

  /** Devices that a class would take, if it were not for a reason. */
  get rejected(): ReadonlyMap<DeviceKey, RejectedDevice> {
    return new Map([...this.#inventory.rejected, ...this.#applier.failed]);
  }

  /** Why devices are not managed as they should be. */
  get problem(): string | undefined {
    return this.#problem ?? this.#watch.problem ?? this.#udev.problem;
  }

  get nodes(): readonly PlacedNode[] {
    return [...this.#desired.nodes.values()].flatMap((desired) => {
      const actual = this.#nodes.get(desired.path);
      return actual ? { desired, actual, link: this.#desired.byId.get(desired.path) } : [];
    });
  }

  get audit(): GrantAudit {
    return this.#audit;
  }

  /** New classes: what they change is done at once. */
  setClasses(classes: readonly DeviceClass[]): void {
    this.#inventory.classes = classes;
    this.resync();
  }

  /** @param at when its event was received, in ms since the epoch */
  enqueue(key: DeviceKey, at = now()): void {
    if (this.#inventory.classes.length === 0) return;
    if (!this.#request.keys.has(key)) this.#request.keys.set(key, at);
    if (key.startsWith('b')) this.#request.disks = true;
    this.#jobs.request('devices');
  }

  /** All devices and all containers. */
  resync(): void {
    this.#request.allDevices = true;
    this.#resyncContainers();
  }

  /** Some mount has come or gone: a disk may be in use by that, or no longer; and containers are being made. */
  mountsChanged(): void {
    if (this.#inventory.classes.length === 0) return;
    this.#request.disks = true;
    this.#resyncContainers();
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

  #refreshContainer(pid: number): void {
    try {
      if (this.#containers.refresh(pid)) this.#jobs.request('devices');
    } catch {
      // A resync of all of them is retried where it fails.
      this.#resyncContainers();
    }
  }

  #resyncContainers(): void {
    this.#request.allContainers = true;
    this.#jobs.request('devices');
  }

  async #run(): Promise<void> {
    // A storm of events must not starve everything else, and this run covers what comes meanwhile.
    await setImmediate();
    const request = this.#request;
    this.#request = nothingAsked();
    // The first run reads everything, whatever triggered it: nothing may be taken away by what is not known yet.
    if (this.#isFirst) request.allDevices = request.allContainers = true;
    try {
      this.#reconcile(request);
      this.#problem = undefined;
      this.#retry.set(this.#isUnsettled());
      this.#options.onReconciled?.();
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#options.log.error({ err: error }, 'devices could not be reconciled: next try within a minute');
      this.#retry.set(true);
      this.#request.allDevices = true;
      this.#request.allContainers = true;
    }
  }

  #reconcile(request: Request): void {
    const { runDir } = this.#options;
    const { classes } = this.#inventory;
    this.#watch.setActive(classes.length > 0);
    this.#udev.setActive(classes.length > 0, asksUdev(classes));
    const actual = readNodes(runDir);
    this.#given = new Set([...actual.nodes.values()].flatMap(({ record }) => record?.identity ?? []));
    this.#readDevices(request);
    const desired = desire(this.#inventory.matched);
    const step = plan(desired, actual);
    // A container known by a process that has ended may have other processes: without them it would lose its devices.
    if (request.allContainers || !this.#containers.areAlive()) this.#containers.refreshAll();
    for (const path of [...step.removedLinks, ...step.removedNodes.map((node) => node.path)]) removeEntry(runDir, path);
    // Access to a device that has gone, or granted by a daemon that died before it made the node, is taken back before its number
    // is granted again.
    if (this.#isFirst) this.#takeOver(step);
    else if (step.removedNodes.length > 0) this.#grant(step.kept.values());
    this.#grant(desired.nodes.values());
    // Also for classes without a device: pods mount them before one is plugged in.
    for (const name of ['', ...classes.map((one) => `/${one.name}`)]) ensureDirectory(runDir, `${DEVICES}${name}`);
    this.#applier.carryOut(step, request.keys);
    this.#desired = desired;
    this.#nodes = readNodes(runDir).nodes;
    this.#isFirst = false;
    this.#watch.setStarting([...this.#containers.known].some(({ isStarting }) => isStarting));
    // The known containers have their access; this finds the others.
    if (step.made.length > 0 && !request.allContainers) this.#resyncContainers();
  }

  #readDevices({ keys, allDevices, disks }: Request): void {
    if (allDevices) this.#inventory.refreshAll();
    else for (const key of keys.keys()) this.#inventory.refresh(key);
    if (disks && !allDevices) this.#inventory.refreshDisks(keys);
  }

  /** Keeps what earlier daemons have granted, where it is still right. */
  #takeOver({ kept }: Plan): void {
    this.#audit.inherit(this.#options.grants.granted());
    this.#grant(kept.values());
  }

  #grant(nodes: Iterable<DesiredNode>): void {
    const { rules, grants } = desireGrants(this.#containers.known, nodes, madeAt);
    this.#audit.update(grants, this.#options.grants.reconcile(rules));
  }

  /** Whether something failed that a retry may do, and no event says when. */
  #isUnsettled(): boolean {
    const isAwaited = this.#inventory.rejected.values().some(endsWithoutEvent);
    return isAwaited || !this.#applier.isComplete || this.#audit.isUnsettled || this.#udev.problem !== undefined;
  }
}

/** kernfs numbers directories upwards and does not use a number twice (fs/kernfs/dir.c, kernfs_new_node). One that has gone comes first, and goes. */
function madeAt(cgroup: string): bigint {
  return statSync(cgroup, { bigint: true, throwIfNoEntry: false })?.ino ?? 0n;
}
