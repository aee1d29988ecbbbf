import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync } from 'node:fs';
import { splitNumber } from '../../linux/device-number.ts';
import { lockWithin } from '../../linux/file-lock.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import { attachMount, createFileSystem, detachMount, openBeneath, setMountAttributes } from '../../linux/mounts.ts';
import { patient } from '../../linux/slowness.ts';
import { ensureDirectory, type RunDir } from './run-dir.ts';

const DIRECTORY = '.self-test';
const SOURCE = 'hotmount-self-test';

/** ms that another process's check may take. */
const LOCK_DEADLINE = patient(10_000);

/**
 * Mounts something in the run dir and checks that a pod would see it: in the mount table of the node's first process, and in a copy of this
 * namespace that only receives. Nothing less proves it: the daemon's own table says `shared` even where the container runtime has cut the
 * propagation. One process checks at a time, and removes what a killed one has left.
 * @returns what is wrong and which setting to change; undefined where pods see what is mounted
 */
export async function checkPropagation(runDir: RunDir): Promise<string | undefined> {
  ensureDirectory(runDir, DIRECTORY);
  const unlock = lockWithin(`${runDir.work}/${DIRECTORY}`, LOCK_DEADLINE);
  try {
    detachProbes(runDir);
    return await mountProbe(runDir);
  } finally {
    detachProbes(runDir);
    unlock();
  }
}

/** @throws Error where the probe cannot be mounted */
async function mountProbe(runDir: RunDir): Promise<string | undefined> {
  // `cat` stays in its copy of the namespace until its input ends.
  const receiver = spawn('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', 'echo; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = once(receiver, 'exit').catch(() => undefined);
  const probe = createFileSystem('tmpfs', SOURCE, { size: '4k' }, ['readOnly', 'noDev', 'noSuid', 'noExec']);
  try {
    const ready = await Promise.race([
      once(receiver.stdout, 'data'),
      gone.then(() => undefined),
      once(receiver, 'error'),
    ]);
    if (!ready || ready[0] instanceof Error || receiver.pid === undefined) {
      return 'unshare(1) could not make a mount namespace to look from: the daemon needs CAP_SYS_ADMIN, and util-linux in its image';
    }
    setMountAttributes(probe, { propagation: 'private' });
    const target = openBeneath(runDir.published, DIRECTORY);
    try {
      attachMount(probe, target);
    } finally {
      closeSync(target);
    }
    return verdict(runDir, splitNumber(fstatSync(probe, { bigint: true }).dev), receiver.pid);
  } finally {
    closeSync(probe);
    receiver.stdin.end();
    await gone;
  }
}

function detachProbes({ path }: RunDir): void {
  const place = `${path}/${DIRECTORY}`;
  for (const { mountPoint, source } of readMountinfo()) {
    if (mountPoint === place && source === SOURCE) detachMount(place);
  }
}

/** @param device `major:minor` of the probe */
function verdict({ path }: RunDir, device: string, receiver: number): string | undefined {
  const isSeenBy = (pid: number): boolean => readMountinfo(pid).some((mount) => mount.device === device);
  if (!isSeenBy(1)) {
    return (
      `what is mounted below ${path} does not reach the node: give the daemon's volumeMount of ${path} ` +
      '`mountPropagation: Bidirectional` (in a raw runc spec: the mount option `rshared` and `rootfsPropagation: rshared`), ' +
      `give the pod \`hostPID: true\`, and make sure that on the node ${path} lies on a shared mount (mount --make-shared)`
    );
  }
  if (!isSeenBy(receiver)) {
    return `what is mounted below ${path} does not reach namespaces that only receive: the run dir is not a shared mount (mount --make-shared ${path})`;
  }
  return undefined;
}
