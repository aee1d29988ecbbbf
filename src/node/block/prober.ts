import { chownSync, unlinkSync } from 'node:fs';
import { PROBE_DEADLINE, PROBE_UID, type Probe, probeArguments, readProbe } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import { errorCode } from '../../linux/errors.ts';
import { createFileSystem, makeNode } from '../../linux/mounts.ts';
import { SpareChild } from '../../linux/spare-child.ts';

/** Where blkid runs: a file system attached nowhere, with nothing in it but the nodes of the disks that are being probed. */
interface Room {
  /** As a path that only this process can use. */
  readonly path: string;
  readonly blkid: SpareChild;
}

/**
 * Reads what is on disks, as an unprivileged user. Needs no /dev: the node is one of our own, for this device and this reader only, and
 * the device itself is first opened in the child, which alone may come to hang.
 */
export class Prober {
  #room: Room | undefined;
  #nodes = 0;

  /** Has one blkid wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    try {
      this.#room ??= openRoom();
      this.#room.blkid.prepare();
    } catch {
      // Whatever it is, the next probe meets it again, and says so.
    }
  }

  async probe(device: BlockDevice): Promise<Probe> {
    try {
      this.#room ??= openRoom();
      const { path, blkid } = this.#room;
      const [major, minor] = device.device.split(':').map(Number) as [number, number];
      const node = `disk-${this.#nodes++}`;
      makeNode(`${path}/${node}`, 'block', major, minor);
      try {
        chownSync(`${path}/${node}`, PROBE_UID, PROBE_UID);
        return readProbe(await blkid.run('blkid', probeArguments(node), PROBE_DEADLINE));
      } finally {
        unlinkSync(`${path}/${node}`);
      }
    } catch (error) {
      const hint = errorCode(error) === 'ENOENT' ? ': install util-linux' : '';
      return { outcome: 'failed', detail: `${(error as Error).message}${hint}` };
    }
  }
}

function openRoom(): Room {
  const mount = createFileSystem('tmpfs', 'hotmount', { size: '4k', mode: '0755' }, ['noSuid', 'noExec']);
  const path = `/proc/self/fd/${mount}`;
  return { path, blkid: new SpareChild({ uid: PROBE_UID, cwd: path }) };
}
