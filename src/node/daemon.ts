import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LxcfsMode } from '../contract/lxcfs-modes.ts';
import { blockDeviceNames, readBlockDevice } from '../linux/block.ts';
import { eventKey } from '../linux/device.ts';
import { NamespaceEntry } from '../linux/namespace-entry.ts';
import { prepareRenameMounted } from '../linux/rename-mounted.ts';
import { listenForUevents, type UeventBatch, type UeventListener } from '../linux/uevents.ts';
import { getAttribute, setAttribute } from '../linux/xattr.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import { Devices } from './devices/devices.ts';
import { openGrants } from './devices/grants.ts';
import { subsystemsOf } from './devices/match.ts';
import { devicesStatus } from './devices/status.ts';
import { followLxcfs } from './lxcfs/link.ts';
import { Media } from './media/media.ts';
import { createNodeMetrics } from './metrics.ts';
import { openRunDir, type RunDir } from './run-dir.ts';
import { testPropagation } from './self-test.ts';
import { startNodeServer } from './server.ts';
import { mediaStatus, type NodeStatus } from './status.ts';

export interface NodeOptions {
  readonly runDir: string;
  readonly policy: Policy;
  /** Where the policy comes from, for people. */
  readonly policySource: string;
  readonly host: string;
  readonly lxcfs: LxcfsMode;
  /** The policy's file, undefined where it is the built-in one. */
  readonly policyFile: string | undefined;
  /** Of health and metrics; undefined: only the unix socket. */
  readonly port: number | undefined;
  readonly version: string;
  readonly log: Logger;
  /** Bytes of the event socket's buffer. */
  readonly receiveBuffer?: number;
}

export interface NodeDaemon {
  readonly port: number | undefined;
  readonly media: Media;
  /** Why it is not ready, undefined where it is. */
  notReady(): string | undefined;
  setPolicy(policy: Policy): void;
  /** A new policy was broken: the one in force stays, and the status says so. */
  policyFailed(error: Error): void;
  /** Ends the daemon. What is mounted stays: pods go on using it. */
  close(): Promise<void>;
}

/** Mount table changes come in bursts, and none of them is urgent: what is urgent has an event of its own. ms. */
const MOUNTS_SETTLE = 100;
const BOOT_SEQUENCE = 'trusted.hotmount.boot-sequence';

/** A disk that hangs from the start is no reason to keep pods from the others. ms. */
const FIRST_LOOK_PATIENCE = 5000;

/** Starts the daemon: resolves when every disk that was there has been looked at once, or takes too long. @throws Error that says what to do */
export async function startNode(options: NodeOptions): Promise<NodeDaemon> {
  const { log, version } = options;
  const startedAt = new Date().toISOString();
  const runDir = openRunDir(options.runDir);
  prepareRenameMounted();
  const entry = new NamespaceEntry();
  const metrics = createNodeMetrics(version);
  let { policy } = options;
  let policyProblem: string | undefined;
  let problem: string | undefined = 'starting';

  const lxcfs = followLxcfs({
    mode: options.lxcfs,
    runDir: runDir.path,
    version,
    policyFile: options.policyFile,
    log,
  });
  const lxcfsStatus = async (): Promise<Pick<NodeStatus, 'lxcfs'>> => {
    const status = await lxcfs.status();
    return status ? { lxcfs: status } : {};
  };
  const status = async (): Promise<NodeStatus> => ({
    daemon: { version, pid: process.pid, startedAt, ready: problem === undefined, ...(problem ? { problem } : {}) },
    runDir: runDir.path,
    policy: {
      source: options.policySource,
      mediaClasses: policy.mediaClasses.map(({ name }) => name),
      deviceClasses: policy.deviceClasses.map(({ name }) => name),
      ...(policyProblem ? { problem: policyProblem } : {}),
    },
    ...mediaStatus(media, runDir),
    ...devicesStatus(devices, runDir),
    ...(await lxcfsStatus()),
  });
  const server = await startNodeServer(runDir, options.port, options.host, {
    notReady: () => problem,
    detail: async () => {
      const problem = (await lxcfs.status())?.problem;
      return problem === undefined ? undefined : `lxcfs: ${problem}`;
    },
    metrics: async () => `${await metrics.registry.metrics()}${await lxcfs.metrics()}`,
    status,
  });

  const sequence = bootSequence(runDir);
  const grants = openGrants(runDir);
  const devices = new Devices({
    runDir,
    grants,
    bootSequence: sequence,
    classes: policy.deviceClasses,
    log,
    onContested: (disk) => media.look(disk),
    onUsable: metrics.usable,
  });
  const media: Media = new Media({
    runDir,
    entry,
    bootSequence: sequence,
    classes: policy.mediaClasses,
    log,
    rawClassOf: (device) => devices.rawClassOf(device),
    onMounted: metrics.mounted,
  });
  metrics.observe(media, devices);

  // Listening comes before looking: what happens in between is heard of.
  let settle: NodeJS.Timeout | undefined;
  const onBatch = ({ events, overflow, mountsChanged, receivedAt }: UeventBatch): void => {
    for (const event of events) {
      const key = eventKey(event);
      if (key) devices.look(key, receivedAt);
      const { subsystem, devpath, env } = event;
      if (subsystem !== 'block') continue;
      media.look(basename(devpath), receivedAt);
      // A disk with partitions is another matter than one without, and the kernel says nothing of the disk when one comes.
      if (env['DEVTYPE'] === 'partition') media.look(basename(dirname(devpath)), receivedAt);
    }
    if (overflow) {
      metrics.overflow();
      log.warn('the kernel had to drop events: looking at all disks and devices');
      devices.lookAtAll();
      media.lookAtAll();
    }
    if (!mountsChanged) return;
    settle ??= setTimeout(() => {
      settle = undefined;
      media.mountsChanged();
      devices.mountsChanged();
    }, MOUNTS_SETTLE);
  };
  const listener = await listenToDevices(
    options,
    policy,
    onBatch,
    () => devices.lookAtAll(),
    (error) => {
      problem = `kernel events are not heard: ${error.message}`;
      log.error({ err: error }, 'kernel events are not heard');
    },
  );

  const propagation = await testPropagation(runDir);
  if (propagation !== undefined) log.error(propagation);
  devices.lookAtAll();
  media.lookAtAll();
  const looked = Promise.all([devices.idle(), media.idle()]);
  await Promise.race([looked, sleep(FIRST_LOOK_PATIENCE, undefined, { ref: false })]);
  for (const [disk, { doing }] of media.working) log.warn({ disk, doing }, 'not waiting any longer for this disk');
  problem = propagation;
  if (problem === undefined) log.info({ runDir: runDir.path }, 'ready');

  return {
    port: server.port,
    media,
    notReady: () => problem,
    setPolicy(next) {
      policy = next;
      policyProblem = undefined;
      metrics.policyReload('success');
      listener.follow(next);
      devices.setClasses(next.deviceClasses);
      media.setClasses(next.mediaClasses);
    },
    policyFailed(error) {
      policyProblem = error.message;
      metrics.policyReload('failure');
    },
    async close() {
      clearTimeout(settle);
      lxcfs.close();
      await listener.close();
      await server.close();
      await devices.close();
      grants.close();
      await entry.close();
      runDir.close();
    },
  };
}

/** Hears of the devices that the policy's classes may take: which subsystems that are may change with the policy. */
async function listenToDevices(
  { receiveBuffer }: Pick<NodeOptions, 'receiveBuffer'>,
  policy: Policy,
  onBatch: (batch: UeventBatch) => void,
  onFollowed: () => void,
  onFailure: (error: Error) => void,
): Promise<{ follow(policy: Policy): void; close(): Promise<void> }> {
  const subsystemsFor = ({ deviceClasses }: Policy): string[] | undefined => {
    const named = subsystemsOf(deviceClasses);
    return named && [...new Set(['block', ...named])].sort();
  };
  const listen = (subsystems: string[] | undefined): Promise<UeventListener> =>
    listenForUevents(
      {
        ...(subsystems ? { subsystems } : {}),
        nodesOnly: true,
        watchMounts: true,
        ...(receiveBuffer === undefined ? {} : { receiveBuffer }),
      },
      onBatch,
      onFailure,
    );
  let subsystems = subsystemsFor(policy);
  let listener = listen(subsystems);
  await listener;
  return {
    follow(next) {
      const wanted = subsystemsFor(next);
      if (wanted?.join() === subsystems?.join()) return;
      subsystems = wanted;
      // The next one listens before the last one ends. What came before, and the last one had no ear for, a look finds.
      const last = listener;
      listener = last.then(async (old) => {
        const fresh = await listen(wanted);
        await old.close();
        onFollowed();
        return fresh;
      });
    },
    close: async () => (await listener).close(),
  };
}

/**
 * Disks with a sequence number up to this one were there when the run dir was made, and that was at the node's start or when hotmount
 * came. It is kept with the run dir: later daemons go by the same.
 */
function bootSequence(runDir: RunDir): number {
  const kept = getAttribute(`${runDir.work}/.`, BOOT_SEQUENCE);
  if (kept !== undefined) return Number(kept);
  const sequences = blockDeviceNames().map((name) => readBlockDevice(name)?.diskSequence ?? 0);
  const highest = Math.max(0, ...sequences);
  setAttribute(`${runDir.work}/.`, BOOT_SEQUENCE, String(highest));
  return highest;
}
