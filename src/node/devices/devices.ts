import { type FSWatcher, watch } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { type BlockDevice, readBlockDevice } from '../../linux/block.ts';
import { asKey, type Device, type DeviceKey, deviceKeys, readDevice } from '../../linux/device.ts';
import type { DeviceGrants } from '../../linux/device-cgroup/index.ts';
import { findUdevDatabase, readUdevProperties } from '../../linux/udev-database.ts';
import type { Logger } from '../../observability/logger.ts';
import type { DeviceClass } from '../../policy/index.ts';
import { KeyedJobs } from '../keyed-jobs.ts';
import type { Use } from '../media/decide.ts';
import { useByNode, useInContainers } from '../media/use.ts';
import { type Finding, finding } from '../reasons.ts';
import { ensureDirectory, type RunDir } from '../run-dir.ts';
import { ContainerWatch } from './container-watch.ts';
import { Containers } from './containers.ts';
import { type Desired, type DesiredNode, desire, NOTHING_DESIRED, type Taken } from './desired.ts';
import { type Judgement, judge, USES } from './judge.ts';
import { Ledger } from './ledger.ts';
import { asksUdev, isOfInterest } from './match.ts';
import { type ActualNode, adjustNode, DEVICES, placeLink, placeNode, readNodes, removeEntry } from './nodes.ts';
import { numberOf } from './numbers.ts';
import { type Plan, plan } from './plan.ts';
import { want } from './wanted.ts';

export interface DevicesOptions {
  readonly runDir: RunDir;
  readonly bootSequence: number;
  readonly classes: readonly DeviceClass[];
  readonly grants: DeviceGrants;
  readonly log: Logger;
  /** A disk that a class takes is still mounted by media. */
  readonly onContested?: (disk: string) => void;
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

/** A device that some class takes, or nearly does. */
interface Known {
  readonly device: Device;
  readonly judgement: Judgement;
}

/** A device that is in no class, or has no node, and why. */
export type LeftDevice = Finding & { readonly device: string };

/** A node that is in its place. */
export interface PlacedNode {
  readonly desired: DesiredNode;
  readonly actual: ActualNode;
  /** Path of its link by id, where it has one. */
  readonly link: string | undefined;
}

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
  #classes: readonly DeviceClass[];
  #request = nothingAsked();
  readonly #known = new Map<DeviceKey, Known>();
  readonly #left = new Map<DeviceKey, LeftDevice>();
  #nodes: ReadonlyMap<string, ActualNode> = new Map();
  #desired: Desired = NOTHING_DESIRED;
  #isFirst = true;
  #udev: { readonly path: string; readonly watcher: FSWatcher } | undefined;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#classes = options.classes;
    this.#containers = new Containers(options.runDir.device);
    this.#ledger = new Ledger(options.log);
    this.#watch = new ContainerWatch(options.log, {
      onChange: () => this.#lookAtContainers(),
      onMounts: (pid) => {
        if (this.#containers.lookAt(pid)) this.#jobs.request('look');
      },
    });
    this.#prepare();
  }

  /** Devices that a class would take, if it were not for a reason. */
  get left(): ReadonlyMap<DeviceKey, LeftDevice> {
    return this.#left;
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

  /** The class that a disk is in, or the whole disk of which it is a partition; what it is used for now does not matter. */
  rawClassOf(block: BlockDevice): string | undefined {
    if (this.#classes.length === 0) return undefined;
    const whole = block.isPartition ? readBlockDevice(block.disk) : undefined;
    for (const { device: number } of whole ? [block, whole] : [block]) {
      const device = this.#read(`b${number}` as DeviceKey);
      const judgement = device && this.#judge(device, () => undefined);
      if (judgement?.kind === 'taken') return judgement.classes[0]?.name;
    }
    return undefined;
  }

  /** New classes: what they change is done at once. */
  setClasses(classes: readonly DeviceClass[]): void {
    this.#classes = classes;
    this.#prepare();
    this.lookAtAll();
  }

  /** @param at when it was heard of, in ms since the epoch */
  look(key: DeviceKey, at = now()): void {
    if (this.#classes.length === 0) return;
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
    if (this.#classes.length === 0) return;
    this.#request.disks = true;
    this.#lookAtContainers();
  }

  /** Resolves when there is nothing more to do for now. */
  idle(): Promise<void> {
    return this.#jobs.idle();
  }

  async close(): Promise<void> {
    this.#udev?.watcher.close();
    await this.#watch.close();
  }

  #lookAtContainers(): void {
    this.#request.allContainers = true;
    this.#jobs.request('look');
  }

  /** Directories also for classes without a device: pods mount them before one is plugged in. */
  #prepare(): void {
    ensureDirectory(this.#options.runDir, DEVICES);
    for (const { name } of this.#classes) ensureDirectory(this.#options.runDir, `${DEVICES}/${name}`);
    this.#watch.setActive(this.#classes.length > 0);
    this.#watchUdev(asksUdev(this.#classes));
  }

  /** udevd writes what it knows of a device after the kernel's event, and says so to nobody but its own listeners. */
  #watchUdev(isAsked: boolean): void {
    const path = isAsked ? findUdevDatabase() : undefined;
    if (isAsked && path === undefined) {
      this.#options.log.warn(
        'device classes go by udev properties, and no udevd of the node has a database: no device matches these',
      );
    }
    if (path !== undefined && this.#udev?.path === path) return;
    this.#udev?.watcher.close();
    this.#udev = undefined;
    if (path === undefined) return;
    const watcher = watch(path, { persistent: false }, (_, name) => {
      const key = asKey(name ?? '');
      if (key) this.look(key);
    });
    watcher.on('error', (error) =>
      this.#options.log.error({ err: error }, 'changes of the udev database are not seen'),
    );
    this.#udev = { path, watcher };
  }

  async #look(): Promise<void> {
    // A storm of events must not keep others from their turn; and what comes meanwhile is seen by this look.
    await setImmediate();
    const request = this.#request;
    this.#request = nothingAsked();
    try {
      this.#reconcile(request);
    } catch (error) {
      this.#options.log.error({ err: error }, 'looking at devices failed: the next event is the next try');
    }
  }

  #reconcile(request: Request): void {
    const { runDir } = this.#options;
    this.#readDevices(request);
    const desired = this.#desire();
    const step = plan(desired, readNodes(runDir));
    if (request.allContainers || this.#isFirst) this.#containers.lookAtAll();
    else this.#containers.verify();
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
    const recheck = [...this.#known.values()].filter(
      ({ device, judgement }) => disks && device.block && isForUse(judgement),
    );
    if (allDevices) this.#known.clear();
    for (const key of new Set(
      allDevices ? deviceKeys() : [...keys.keys(), ...recheck.map(({ device }) => device.key)],
    )) {
      const device = this.#read(key);
      const judgement = device && this.#judge(device, () => this.#useOf(device));
      if (device && judgement && (judgement.kind === 'taken' || judgement.finding))
        this.#known.set(key, { device, judgement });
      else this.#known.delete(key);
    }
  }

  #desire(): Desired {
    const taken: Taken[] = [];
    this.#left.clear();
    for (const { device, judgement } of this.#known.values()) {
      if (judgement.kind === 'taken') taken.push({ device, classes: judgement.classes });
      else if (judgement.finding) this.#left.set(device.key, { ...judgement.finding, device: device.name });
    }
    return desire(taken);
  }

  #read(key: DeviceKey): Device | undefined {
    return readDevice(key, (named) => isOfInterest(this.#classes, named));
  }

  #judge(device: Device, use: () => Use | undefined): Judgement {
    return judge(device, {
      classes: this.#classes,
      bootSequence: this.#options.bootSequence,
      properties: this.#udev ? readUdevProperties(this.#udev.path, device.key) : new Map(),
      use,
    });
  }

  /** Who else has it mounted is only looked for before its node is made. */
  #useOf({ key, block, identity }: Device): Use | undefined {
    if (!block) return undefined;
    const use = useByNode(block);
    if (use?.kind === 'mounted' && use.path.startsWith(`${this.#options.runDir.path}/`)) {
      this.#options.onContested?.(use.device);
    }
    const hasNode = [...this.#desired.nodes.values()].some(
      ({ device }) => device.key === key && device.identity === identity,
    );
    return use ?? (hasNode ? undefined : useInContainers(block));
  }

  /** What earlier daemons have granted stays where it is still right. */
  #takeOver({ kept }: Plan): void {
    const { grants } = this.#options;
    this.#ledger.inherit(grants.granted());
    this.#grant(kept.values());
    this.#ledger.disinherit(grants.granted());
  }

  #grant(nodes: Iterable<DesiredNode>): void {
    const { grants, entitlements } = want(this.#containers.known, nodes);
    this.#ledger.update(entitlements, this.#options.grants.reconcile(grants));
  }

  #place({ made, adjusted, linked }: Plan, { keys }: Request): void {
    const { runDir, log, onUsable } = this.#options;
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
      this.#left.set(device.key, { ...failure, device: device.name });
      this.#options.log.error({ device: device.name, reason: failure.reason }, failure.message);
    }
  }
}

/** Whether that nobody else uses it decides, or decided, about it. */
const isForUse = (judgement: Judgement): boolean =>
  judgement.kind === 'taken' || USES.some((reason) => reason === judgement.finding?.reason);
