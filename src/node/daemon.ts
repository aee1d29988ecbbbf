import { release } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LxcfsMode } from '../contract/lxcfs-modes.ts';
import { findHierarchies } from '../linux/device-cgroup/index.ts';
import { prepareRenameMounted } from '../linux/rename-mounted.ts';
import { isSelinuxOn } from '../linux/selinux.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import { DiskClaims } from './block/disk-claims.ts';
import { ExclusiveOpener } from './block/exclusive-opener.ts';
import { ClassCounts } from './class-counts.ts';
import type { CsiDriver } from './csi/driver.ts';
import { type PodNames, withPodName } from './csi/pod-names.ts';
import { DeviceController } from './devices/controller.ts';
import { openGrants } from './devices/grants.ts';
import { LiveController } from './live/controller.ts';
import { connectToLxcfs } from './lxcfs/client.ts';
import { MediaController } from './media/controller.ts';
import { PodTrees } from './media/pod-trees.ts';
import { createNodeMetrics, type NodeMetrics } from './metrics.ts';
import { PolicyInForce, type PolicySource } from './policy-in-force.ts';
import { Attempts } from './reconcile/attempts.ts';
import { bootSequence } from './run-dir/boot-sequence.ts';
import { checkPropagation } from './run-dir/propagation-check.ts';
import { openRunDir, type RunDir } from './run-dir/run-dir.ts';
import { startNodeServer } from './server.ts';
import { type NodeStatus, readNodeStatus } from './status.ts';
import { startTriggers } from './triggers.ts';

export interface NodeOptions extends PolicySource {
  readonly runDir: string;
  /** As in openRunDir. */
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

/** A disk that hangs from the start is no reason to keep pods from the others. ms. */
const FIRST_SYNC_PATIENCE = 5000;

/** Starts the daemon: resolves when every disk that was there has been reconciled once, or takes too long. @throws Error that says what to do */
export async function startNode(options: NodeOptions): Promise<NodeDaemon> {
  const startedAt = new Date().toISOString();
  let csi: CsiDriver | undefined;
  // Until something triggers: the first resync comes after that.
  let usageChanged = (): void => {};
  let problem: string | undefined = 'starting';
  const podName: PodNames = (podUid) => csi?.podName(podUid);
  const log = options.log.child({}, { formatters: { log: (fields) => withPodName(fields, podName) } });
  const runDir = openRunDir(options.runDir, options.selinux);
  warnOfMissingContext(runDir, options, log);
  prepareRenameMounted();
  const metrics = createNodeMetrics(options.version);
  const attempts = new Attempts(log);
  const policy = new PolicyInForce(runDir, options, log);
  const lxcfs = connectToLxcfs({ ...options, mode: options.lxcfs, runDir: runDir.path, log });
  const controllers = createControllers({
    runDir,
    kubeletDir: options.kubeletDir,
    policy,
    metrics,
    attempts,
    log,
    csi: () => csi,
    onReconciled: () => counts.update(),
    onAnnotated: () => usageChanged(),
  });
  const { media, devices, live, podTrees } = controllers;
  const counts = new ClassCounts({ ...options, ...controllers, attempts, log });
  metrics.observe(media, devices, live);

  const daemonStatus = (): NodeStatus['daemon'] => ({
    version: options.version,
    kernel: release(),
    cgroups: findHierarchies().v1 ? 'v1' : 'v2',
    pid: process.pid,
    startedAt,
    ready: problem === undefined,
    ...(problem ? { problem } : {}),
    ...(attempts.problems.length > 0 ? { failing: attempts.problems } : {}),
  });
  const server = await startNodeServer(runDir, options.port, options.host, {
    notReady: () => problem,
    detail: async () => {
      const lxcfsProblem = (await lxcfs.status())?.problem;
      const lxcfsLines = lxcfsProblem === undefined ? [] : [`lxcfs: ${lxcfsProblem}`];
      const lines = [...attempts.problems, devices.problem ?? [], live.problem ?? [], lxcfsLines];
      return lines.flat().join('\n') || undefined;
    },
    metrics: async () => `${await metrics.registry.metrics()}${await lxcfs.metrics()}`,
    status: async () =>
      readNodeStatus({
        ...controllers,
        daemon: daemonStatus(),
        policy: policy.status(),
        runDir,
        podName,
        lxcfs: await lxcfs.status(),
        csi: csi?.status(),
        devicePlugin: counts.status(),
      }),
    eject: (disk) => media.eject(disk),
  });

  // Before the first resync: a pod that has to wait learns what for.
  if (options.kubeletDir !== undefined) {
    // gRPC takes memory that a daemon without a kubelet need not have.
    const { startCsi } = await import('./csi/driver.ts');
    csi = await startCsi({
      kubeletDir: options.kubeletDir,
      runDir,
      version: options.version,
      policy: () => policy.current,
      lxcfs: options.lxcfs !== 'off',
      log,
      onOutcome: ({ method, code }) => metrics.csiCall(method, code),
      live,
      podTrees,
    });
  }
  // Before the first resync: nothing in between is missed.
  const triggers = startTriggers({
    ...controllers,
    runDir,
    attempts,
    policy: policy.current,
    receiveBuffer: options.receiveBuffer,
    onOverflow: metrics.overflow,
    log,
  });
  usageChanged = triggers.usageChanged;

  const propagation = await checkPropagation(runDir);
  if (propagation !== undefined) log.error(propagation);
  await firstResync(controllers, policy.current, attempts, log);
  await counts.start(policy.current);
  problem = propagation;
  if (problem === undefined) log.info({ runDir: runDir.path }, 'ready');

  return {
    port: server.port,
    failed: triggers.failed,
    setPolicy(next, text) {
      policy.replace(next, text);
      metrics.policyReload('success');
      triggers.follow(next);
      attempts.run('the device classes', () => devices.setClasses(next.deviceClasses));
      attempts.run('the media classes', () => media.setClasses(next.mediaClasses));
      attempts.run('the live pods', () => live.resync());
      counts.setPolicy(next);
    },
    policyFailed(error) {
      policy.refuse(error);
      metrics.policyReload('failure');
    },
    async close() {
      triggers.close();
      attempts.close();
      csi?.close();
      counts.close();
      lxcfs.close();
      media.close();
      live.close();
      podTrees.close();
      await server.close();
      devices.close();
      runDir.close();
    },
  };
}

function warnOfMissingContext(runDir: RunDir, { selinux }: NodeOptions, log: Logger): void {
  if (runDir.context !== undefined || selinux !== 'auto' || !isSelinuxOn()) return;
  log.warn(
    'the SELinux policy of this node has no container_file_t: containers may be denied what is mounted for them (--selinux-context)',
  );
}

interface Controllers {
  readonly media: MediaController;
  readonly devices: DeviceController;
  readonly live: LiveController;
  readonly podTrees: PodTrees;
}

interface ControllerOptions {
  readonly runDir: RunDir;
  readonly kubeletDir: string | undefined;
  readonly policy: PolicyInForce;
  readonly metrics: NodeMetrics;
  readonly attempts: Attempts;
  readonly log: Logger;
  /** Undefined until it is started, and where none is wanted. */
  readonly csi: () => CsiDriver | undefined;
  /** A disk or device has come or gone. */
  readonly onReconciled: () => void;
  /** As LiveController has it. */
  readonly onAnnotated: () => void;
}

/** The controllers, and what they share: none does anything before it is asked to reconcile. */
function createControllers(options: ControllerOptions): Controllers {
  const { runDir, kubeletDir, policy, metrics, attempts, log, csi, onReconciled, onAnnotated } = options;
  const shared = {
    runDir,
    log,
    onReconciled,
    bootSequence: bootSequence(runDir),
    claims: new DiskClaims(),
    opener: new ExclusiveOpener(),
  };
  const { mediaClasses, deviceClasses } = policy.current;
  const grants = openGrants(runDir);
  const devices = new DeviceController({ ...shared, grants, classes: deviceClasses, onUsable: metrics.usable });
  const podTrees = new PodTrees({
    runDir,
    kubeletDir,
    isPublished: (podUid) => csi()?.hasOwnUsers(podUid),
    log,
    onReady: (classes) => media.podsChanged(classes),
  });
  const media = new MediaController({
    ...shared,
    classes: mediaClasses,
    podTrees: (className) => podTrees.of(className),
    onMounted: metrics.mounted,
  });
  const live = new LiveController({
    runDir,
    kubeletDir,
    policy: () => policy.current,
    publications: () => csi()?.live,
    log,
    onChange: () => attempts.run('following the mount table', () => devices.mountsChanged()),
    onAnnotated,
  });
  return { media, devices, live, podTrees };
}

/** Resolves when every disk and device that is there has been reconciled once, or takes too long. */
async function firstResync(
  { media, devices, live, podTrees }: Controllers,
  { mediaClasses }: Policy,
  attempts: Attempts,
  log: Logger,
): Promise<void> {
  devices.resync();
  attempts.run('the pods with users of their own', () => podTrees.resync());
  attempts.run('the media classes', () => media.setClasses(mediaClasses));
  const synced = Promise.all([devices.idle(), media.idle()]);
  await Promise.race([synced, sleep(FIRST_SYNC_PATIENCE, undefined, { ref: false })]);
  for (const [disk, { doing }] of media.working) log.warn({ disk, doing }, 'not waiting any longer for this disk');
  attempts.run('the live pods', () => live.resync());
}
