import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LxcfsMode } from '../contract/lxcfs-modes.ts';
import { findHierarchies } from '../linux/device-cgroup/index.ts';
import { watchMountTable, watchSwaps } from '../linux/readiness.ts';
import { prepareRenameMounted } from '../linux/rename-mounted.ts';
import { isSelinuxOn } from '../linux/selinux.ts';
import type { UeventBatch } from '../linux/uevents.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import { DiskClaims } from './block/disk-claims.ts';
import { ExclusiveOpener } from './block/exclusive-opener.ts';
import type { CsiDriver } from './csi/driver.ts';
import { type PodNames, withPodName } from './csi/pod-names.ts';
import type { DevicePlugin } from './device-plugin/plugin.ts';
import { removeResources } from './device-plugin/registry.ts';
import { DeviceController } from './devices/controller.ts';
import { openGrants } from './devices/grants.ts';
import { devicesStatus } from './devices/status.ts';
import { buttonPressed, concernedBy, listenToDevices } from './events.ts';
import { countNames, featureText, writeFeatureFile } from './feature-file.ts';
import { LiveController } from './live/controller.ts';
import { liveStatus } from './live/status.ts';
import { connectToLxcfs } from './lxcfs/client.ts';
import { MediaController } from './media/controller.ts';
import { createNodeMetrics } from './metrics.ts';
import { PolicyInForce, type PolicySource } from './policy-in-force.ts';
import { Attempts } from './reconcile/attempts.ts';
import { bootSequence } from './run-dir/boot-sequence.ts';
import { checkPropagation } from './run-dir/propagation-check.ts';
import { openRunDir } from './run-dir/run-dir.ts';
import { startNodeServer } from './server.ts';
import { mediaStatus, type NodeStatus, unclaimedStatus, withPodNames } from './status.ts';

export interface NodeOptions extends PolicySource {
  readonly runDir: string;
  /** As openRunDir has it. */
  readonly selinux: string;
  readonly host: string;
  readonly lxcfs: LxcfsMode;
  /** Where the kubelet keeps its pods and finds CSI drivers; undefined: no driver is wanted. */
  readonly kubeletDir: string | undefined;
  /** Of health and metrics; undefined: only the unix socket. */
  readonly port: number | undefined;
  readonly version: string;
  readonly log: Logger;
  /** Bytes of the event socket's buffer. */
  readonly receiveBuffer?: number;
  /** Where the kubelet finds the device plugin; undefined: none is wanted. */
  readonly devicePluginDir?: string | undefined;
  /** Where node-feature-discovery reads what is plugged in; undefined: it is not told. */
  readonly featureFile?: string | undefined;
}

export interface NodeDaemon {
  readonly port: number | undefined;
  /** Rejects where it cannot go on, and is to be ended: a restarted daemon resyncs everything. */
  readonly failed: Promise<never>;
  setPolicy(policy: Policy, text: string): void;
  /** The policy's file is broken: the one in force stays, and the status says so. */
  policyFailed(error: Error): void;
  /** Ends the daemon. What is mounted stays: pods go on using it. */
  close(): Promise<void>;
}

/** Mounts and disks come and go in bursts, and what that means for other disks is not urgent. ms. */
const USAGE_SETTLE = 100;

/** A disk that hangs from the start is no reason to keep pods from the others. ms. */
const FIRST_SYNC_PATIENCE = 5000;

/** Starts the daemon: resolves when every disk that was there has been reconciled once, or takes too long. @throws Error that says what to do */
export async function startNode(options: NodeOptions): Promise<NodeDaemon> {
  const { version } = options;
  const startedAt = new Date().toISOString();
  let csi: CsiDriver | undefined;
  let plugin: DevicePlugin | undefined;
  const podName: PodNames = (podUid) => csi?.podName(podUid);
  const log = options.log.child({}, { formatters: { log: (fields) => withPodName(fields, podName) } });
  const runDir = openRunDir(options.runDir, options.selinux);
  if (runDir.context === undefined && options.selinux === 'auto' && isSelinuxOn()) {
    log.warn(
      'the SELinux policy of this node has no container_file_t: containers may be denied what is mounted for them (--selinux-context)',
    );
  }
  prepareRenameMounted();
  const metrics = createNodeMetrics(version);
  const attempts = new Attempts(log);
  const policy = new PolicyInForce(runDir, options, log);
  let problem: string | undefined = 'starting';

  const lxcfs = connectToLxcfs({
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
  const statusByUid = async (): Promise<NodeStatus> => ({
    daemon: {
      version,
      kernel: release(),
      cgroups: findHierarchies().v1 ? 'v1' : 'v2',
      pid: process.pid,
      startedAt,
      ready: problem === undefined,
      ...(problem ? { problem } : {}),
      ...(attempts.problems.length > 0 ? { failing: attempts.problems } : {}),
    },
    runDir: runDir.path,
    policy: policy.status(),
    ...(await mediaStatus(media, runDir)),
    ...devicesStatus(devices, runDir),
    unclaimed: unclaimedStatus(media, devices),
    ...(await lxcfsStatus()),
    ...(csi ? { csi: csi.status(), live: liveStatus(live) } : {}),
    ...(plugin ? { devicePlugin: plugin.status() } : {}),
  });
  const status = async (): Promise<NodeStatus> => withPodNames(await statusByUid(), podName);
  const sequence = bootSequence(runDir);
  const claims = new DiskClaims();
  const opener = new ExclusiveOpener();
  const devices = new DeviceController({
    runDir,
    grants: openGrants(runDir),
    opener,
    bootSequence: sequence,
    classes: policy.current.deviceClasses,
    log,
    claims,
    onUsable: metrics.usable,
    onReconciled: () => tellPlugged(),
  });
  const media = new MediaController({
    runDir,
    bootSequence: sequence,
    classes: policy.current.mediaClasses,
    log,
    opener,
    claims,
    onMounted: metrics.mounted,
    onReconciled: () => tellPlugged(),
  });
  const live = new LiveController({
    runDir,
    kubeletDir: options.kubeletDir,
    policy: () => policy.current,
    isPublished: (podUid) => csi?.isLive(podUid),
    log,
    onChange: () => attempts.run('following the mount table', () => devices.mountsChanged()),
  });
  metrics.observe(media, devices, live);

  const server = await startNodeServer(runDir, options.port, options.host, {
    notReady: () => problem,
    detail: async () => {
      const lxcfsProblem = (await lxcfs.status())?.problem;
      const lines = [
        ...attempts.problems,
        devices.problem ?? [],
        live.problem ?? [],
        lxcfsProblem === undefined ? [] : `lxcfs: ${lxcfsProblem}`,
      ];
      return lines.flat().join('\n') || undefined;
    },
    metrics: async () => `${await metrics.registry.metrics()}${await lxcfs.metrics()}`,
    status,
    eject: (disk) => media.eject(disk),
  });

  // Before the first resync: a pod that has to wait learns what for.
  if (options.kubeletDir !== undefined) {
    // gRPC takes memory that a daemon without a kubelet need not have.
    const { startCsi } = await import('./csi/driver.ts');
    csi = await startCsi({
      kubeletDir: options.kubeletDir,
      runDir,
      version,
      policy: () => policy.current,
      lxcfs: options.lxcfs !== 'off',
      log,
      onOutcome: ({ method, code }) => metrics.csiCall(method, code),
      live,
    });
  }

  const { featureFile, devicePluginDir } = options;
  /** Not before everything has been looked at once: the scheduler would be told of less than there is. */
  let isSynced = false;
  const tellPlugged = (): void => {
    if (!isSynced) return;
    const counts = presentClasses(media, devices);
    plugin?.setCounts(counts);
    if (featureFile === undefined) return;
    attempts.run('the feature file', () => writeFeatureFile(featureFile, featureText(counts)));
  };

  // Listening comes before the first resync: nothing in between is missed.
  let settle: NodeJS.Timeout | undefined;
  const resync = (): void => {
    attempts.run('the resync of devices', () => devices.resync());
    attempts.run('the resync of disks', () => media.resync());
  };
  const onBatch = ({ events, overflow, receivedAt }: UeventBatch): void => {
    for (const event of events) {
      const { disks, devices: keys } = concernedBy(event);
      for (const key of keys) devices.enqueue(key, receivedAt);
      for (const disk of disks) media.enqueue(disk, receivedAt);
      const drive = buttonPressed(event);
      if (drive !== undefined) media.buttonPressed(drive);
    }
    // What was built on a disk, or showed it, may have gone.
    if (events.some(({ subsystem }) => subsystem === 'block')) onUsageChanged();
    if (overflow) {
      metrics.overflow();
      log.warn('the kernel had to drop events: resync of all disks and devices');
      resync();
    }
  };
  const onUsageChanged = (): void => {
    settle ??= setTimeout(() => {
      settle = undefined;
      attempts.run('following the mount table', () => {
        media.mountsChanged();
        devices.mountsChanged();
        live.mountsChanged();
      });
    }, USAGE_SETTLE);
  };
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  // Handled by whoever awaits `failed`, once this function has returned.
  failed.catch(() => {});
  const listener = listenToDevices(policy.current, {
    receiveBuffer: options.receiveBuffer,
    onBatch: (batch) => attempts.run('kernel events', () => onBatch(batch), resync),
    onFollowed: () => devices.resync(),
    onFailure: (error) => fail(new Error(`kernel events are not heard any more: ${error.message}`, { cause: error })),
  });

  const unwatchMounts = watchMountTable(onUsageChanged);
  const unwatchSwaps = watchSwaps(onUsageChanged);

  const propagation = await checkPropagation(runDir);
  if (propagation !== undefined) log.error(propagation);
  devices.resync();
  attempts.run('the media classes', () => media.setClasses(policy.current.mediaClasses));
  const synced = Promise.all([devices.idle(), media.idle()]);
  await Promise.race([synced, sleep(FIRST_SYNC_PATIENCE, undefined, { ref: false })]);
  for (const [disk, { doing }] of media.working) log.warn({ disk, doing }, 'not waiting any longer for this disk');
  attempts.run('the live pods', () => live.resync());
  isSynced = true;
  if (devicePluginDir !== undefined) {
    const { DevicePlugin } = await import('./device-plugin/plugin.ts');
    attempts.run('the start of the device plugin', () => {
      plugin = new DevicePlugin(devicePluginDir, classNames(policy.current), log);
      tellPlugged();
    });
  } else if (options.kubeletDir !== undefined) {
    const { kubeletDir } = options;
    attempts.run('the device plugin', () => removeResources(kubeletDir));
  }
  tellPlugged();
  problem = propagation;
  if (problem === undefined) log.info({ runDir: runDir.path }, 'ready');

  return {
    port: server.port,
    failed,
    setPolicy(next, text) {
      policy.replace(next, text);
      metrics.policyReload('success');
      listener.follow(next);
      attempts.run('the device classes', () => devices.setClasses(next.deviceClasses));
      attempts.run('the media classes', () => media.setClasses(next.mediaClasses));
      attempts.run('the live pods', () => live.resync());
      attempts.run('the device plugin', () => plugin?.setClasses(classNames(next)));
      tellPlugged();
    },
    policyFailed(error) {
      policy.refuse(error);
      metrics.policyReload('failure');
    },
    async close() {
      clearTimeout(settle);
      attempts.close();
      csi?.close();
      plugin?.close();
      lxcfs.close();
      listener.close();
      media.close();
      live.close();
      unwatchMounts();
      unwatchSwaps();
      await server.close();
      devices.close();
      runDir.close();
    },
  };
}

const classNames = ({ mediaClasses, deviceClasses }: Policy): string[] => [
  ...new Set([...mediaClasses, ...deviceClasses].map(({ name }) => name)),
];

/** How many disks and devices each class has. */
const presentClasses = (media: MediaController, devices: DeviceController): Map<string, number> =>
  countNames([
    ...[...media.states.values()].flatMap((state) => (state.kind === 'mounted' ? [state.mounted.className] : [])),
    ...devices.nodes.map(({ desired }) => desired.deviceClass.name),
  ]);
