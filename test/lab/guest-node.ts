import { onTestFinished } from 'vitest';
import type { NodeStatus } from '../../src/node/status.ts';
import type { GuestProcess } from './guest-process.ts';
import type { Lab } from './lab.ts';

export const RUN_DIR = '/run/hotmount';
const CLI = 'node src/cli.ts';

/** ms, far beyond what anything takes: what is tested is the outcome. */
export const DEADLINE = 240_000;

/** `hotmount node` in the guest, from the checkout. */
export class GuestNode {
  /** Its output is its log. */
  readonly process: GuestProcess;
  readonly #lab: Lab;

  constructor(lab: Lab, process: GuestProcess) {
    this.#lab = lab;
    this.process = process;
  }

  /** What `hotmount status` prints. @throws Error where the daemon is not ready */
  async status(): Promise<NodeStatus> {
    const json = await this.#lab.sh(`${CLI} status --run-dir ${RUN_DIR} -o json`, { timeoutMs: DEADLINE });
    return JSON.parse(json) as NodeStatus;
  }

  /** Waits until its log says that it has mounted a disk on a directory of this name. */
  async mounted(directory: string): Promise<void> {
    await this.process.waitForOutput(new RegExp(`"directory":"${directory}".*"msg":"mounted"`), DEADLINE);
  }

  /** Waits until its log says that the disk in this directory is unmounted: by then it is in no mount table. */
  async unmounted(directory: string): Promise<void> {
    await this.process.waitForOutput(new RegExp(`"directory":"${directory}".*"msg":"unmounted"`), DEADLINE);
  }
}

/**
 * Starts `hotmount node` and waits until it is ready. When the test has finished, it is stopped and all that it mounted cleaned up.
 * @param mediaClasses as in the policy; so are deviceClasses and rules
 */
export async function startGuestNode(
  lab: Lab,
  mediaClasses: readonly object[],
  deviceClasses: readonly object[] = [],
  flags: readonly string[] = [],
  rules: readonly object[] = [],
): Promise<GuestNode> {
  const policy = { apiVersion: 'hotmount.io/v1alpha1', kind: 'Policy', rules, mediaClasses, deviceClasses };
  await lab.writeFile('/tmp/policy.yaml', JSON.stringify(policy));
  const command = `${CLI} node --policy /tmp/policy.yaml --run-dir ${RUN_DIR} --metrics-port 0 --host 127.0.0.1 --lxcfs off`;
  const process = lab.spawn(`exec ${command} --log-level debug ${flags.join(' ')}`);
  onTestFinished(async () => {
    if (!lab.running) return;
    process.kill('SIGTERM');
    await process.exited;
    await lab.sh(`${CLI} node --cleanup --no-csi --run-dir ${RUN_DIR}`, { timeoutMs: DEADLINE });
  });
  await process.waitForOutput(/"msg":"ready"/, DEADLINE);
  return new GuestNode(lab, process);
}
