import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { type Mount, readMountinfo } from '../linux/mountinfo.ts';
import { attachMount, createFileSystem, detachMount, openBeneath, setMountAttributes } from '../linux/mounts.ts';
import { ensureDirectory, type RunDir, removeDirectory } from './run-dir.ts';

const DIRECTORY = '.self-test';
const SOURCE = 'hotmount-self-test';

/**
 * Mounts something in the run dir and looks for it where a pod would: in the mount table of the node's first process, and in a
 * copy of this namespace that only receives. Nothing else proves it: the daemon's own table says `shared` also where the container
 * runtime has cut it off.
 * @returns what is wrong and which setting to change; undefined where pods see what is mounted
 */
export async function testPropagation(runDir: RunDir): Promise<string | undefined> {
  // `cat` stays in its copy of the namespace until its input ends.
  const receiver = spawn('unshare', ['--mount', '--propagation', 'slave', 'sh', '-c', 'echo; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = once(receiver, 'exit').catch(() => undefined);
  ensureDirectory(runDir, DIRECTORY);
  const probe = createFileSystem('tmpfs', SOURCE, { size: '4k' }, ['readOnly', 'noDev', 'noSuid', 'noExec']);
  let attached = false;
  try {
    const ready = await Promise.race([
      once(receiver.stdout, 'data'),
      gone.then(() => undefined),
      once(receiver, 'error'),
    ]);
    if (!ready || ready[0] instanceof Error || receiver.pid === undefined) {
      return 'unshare(1) could not make a mount namespace to look from: the daemon needs CAP_SYS_ADMIN, and util-linux in its image';
    }
    const target = openBeneath(runDir.published, DIRECTORY);
    setMountAttributes(probe, { propagation: 'private' });
    attachMount(probe, target);
    attached = true;
    closeSync(target);
    return verdict(runDir, receiver.pid);
  } finally {
    closeSync(probe);
    if (attached) detachMount(`${runDir.path}/${DIRECTORY}`);
    receiver.stdin.end();
    await gone;
    removeDirectory(runDir, DIRECTORY);
  }
}

function verdict({ path }: RunDir, receiver: number): string | undefined {
  const own = readMountinfo().filter(isProbe);
  const number = own[0]?.device;
  const isSeenBy = (pid: number): boolean =>
    readMountinfo(pid).some((mount) => isProbe(mount) && mount.device === number);
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

const isProbe = (mount: Mount): boolean => mount.fsType === 'tmpfs' && mount.source === SOURCE;
