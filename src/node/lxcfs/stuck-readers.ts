import { setTimeout as sleep } from 'node:timers/promises';
import { runChild } from '../../linux/child.ts';
import { waitingRequests } from '../../linux/fuse.ts';
import { type Cgroups, inNodeCgroups, makeEmptyCgroups } from './cgroups.ts';

/** Samples of one check, and ms between two. A busy lxcfs has answered everything at one of them. */
const SAMPLES = 20;
const PAUSE = 10;
/** lxcfs 5.0 to 7.0 sort containers into 100 buckets by their cgroups' paths: of a hundred of these, 95 are met. */
const READERS = 300;
/** ms. It takes some 500. */
const DEADLINE = 8000;

/**
 * Whether an instance leaves some readers waiting for ever, and answers others: in 5.0 a lock of one bucket of load averages can be kept, and
 * one container in a hundred then waits. The kernel counts requests that wait; where there has been one all the time, in two checks in a
 * row, readers in many cgroups find out.
 */
export class StuckReaders {
  readonly #suspects = new Set<string>();

  async isStuck({ id, device, mountPoint }: Watched, cgroups: Cgroups): Promise<boolean> {
    const isSuspect = await alwaysWaits(device);
    if (isSuspect && this.#suspects.has(id)) return !(await answersAll(id, mountPoint, cgroups));
    if (isSuspect) this.#suspects.add(id);
    else this.#suspects.delete(id);
    return false;
  }
}

interface Watched {
  readonly id: string;
  readonly device: string;
  readonly mountPoint: string;
}

async function alwaysWaits(device: string): Promise<boolean> {
  for (let i = 0; i < SAMPLES; i++) {
    if (waitingRequests(device) === 0) return false;
    await sleep(PAUSE);
  }
  return true;
}

async function answersAll(id: string, mountPoint: string, cgroups: Cgroups): Promise<boolean> {
  try {
    const { base, close } = makeEmptyCgroups(cgroups, `${process.pid}-stuck-${id}`, READERS);
    try {
      const [program, ...args] = inNodeCgroups('sh', '-c', READ, mountPoint, base, String(READERS));
      const { timedOut } = await runChild(program, args, { deadline: DEADLINE });
      return !timedOut;
    } finally {
      close();
    }
  } catch {
    // That no cgroup can be made, or no child be started, says nothing about lxcfs.
    return true;
  }
}

/** One process, in one cgroup after the other: lxcfs goes by that of the reader where this is of the node's PID namespace. */
const READ =
  'cd "$0" && i=0 && while [ $i -lt "$2" ]; do echo 0 > "$1/$i/cgroup.procs" && read -r _ < proc/loadavg && read -r _ < proc/stat; i=$((i + 1)); done';
