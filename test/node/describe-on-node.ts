import { beforeAll, inject } from 'vitest';
import { describeUnless } from '../describe-unless.ts';
import { Rig } from '../system/support/rig.ts';
import { Installation } from './installation.ts';
import { Node } from './node.ts';

export interface OnNode {
  /** The cluster: kubectl, helm, exec, the node's programs. */
  readonly node: Node;
  /** The chart's release in it. */
  readonly hotmount: Installation;
  /** For the disks of test/system/support/disks.ts: the installed policy's media class `usb` takes those of this rig, and no others. */
  readonly rig: Rig;
}

/** One node for all files of the project: they run one after the other in one process (vitest.config.ts). */
let shared: Promise<OnNode> | undefined;

/**
 * As vitest's `describe`, for tests with a real node on which hotmount is installed with the policy of policy.ts; what a file changes in
 * the installation it puts back by `hotmount.install()`. What it makes in the cluster and what it plugs in it removes.
 */
export function describeOnNode(name: string, body: (on: () => OnNode) => void): void {
  describeUnless(inject('nodeObstacle'), name, () => {
    let current: OnNode | undefined;
    beforeAll(async () => {
      shared ??= start();
      current = await shared;
      await current.hotmount.install();
    }, 300_000);
    body(() => {
      if (!current) throw new Error('the node is there in tests and hooks only, not while they are being collected');
      return current;
    });
  });
}

async function start(): Promise<OnNode> {
  const node = await Node.start(inject('nodeBinaries'), true);
  const rig = new Rig();
  // vitest ends the process with SIGTERM when the last file is through, and 500 ms later with SIGKILL. The rest is for global-setup.ts.
  process.once('SIGTERM', async () => {
    node.machine.kill();
    await rig.close();
    process.exit();
  });
  await node.importImages(inject('nodeImage'));
  return { node, rig, hotmount: new Installation(node, rig) };
}
