import { chownSync, unlinkSync } from 'node:fs';
import { PROBE_UID } from '../../linux/blkid.ts';
import type { BlockDevice } from '../../linux/block.ts';
import type { ChildResult } from '../../linux/child.ts';
import { createFileSystem, makeNode } from '../../linux/mounts.ts';
import { SpareChild, type SpareOptions } from '../../linux/spare-child.ts';

/**
 * Where programs open disks: a file system attached nowhere, with nothing in it but the nodes of the disks that are being looked at. Needs
 * no /dev: each node is one of our own, for this device and an unprivileged reader only, and the device itself is first opened in the
 * child, which alone may come to hang.
 */
export class ProbeRoom {
  #opened: { readonly path: string; readonly child: SpareChild } | undefined;
  #nodes = 0;
  readonly #options: Pick<SpareOptions, 'encoding' | 'perl'>;

  constructor(options: Pick<SpareOptions, 'encoding' | 'perl'> = {}) {
    this.#options = options;
  }

  /** Has a child wait for the next disk. To be called when there is nothing more urgent. */
  prepare(): void {
    try {
      this.#open().child.prepare();
    } catch {
      // Whoever asks is told why.
    }
  }

  /**
   * Runs a program on the device's node.
   * @param args of the node's path
   * @param deadline ms
   * @throws where it cannot be started
   */
  async run(
    { device }: Pick<BlockDevice, 'device'>,
    command: string,
    args: (node: string) => readonly string[],
    deadline: number,
  ): Promise<ChildResult> {
    const { path, child } = this.#open();
    const [major, minor] = device.split(':').map(Number) as [number, number];
    const node = `disk-${this.#nodes++}`;
    makeNode(`${path}/${node}`, 'block', major, minor);
    try {
      chownSync(`${path}/${node}`, PROBE_UID, PROBE_UID);
      return await child.run(command, args(node), deadline);
    } finally {
      unlinkSync(`${path}/${node}`);
    }
  }

  #open(): { readonly path: string; readonly child: SpareChild } {
    if (!this.#opened) {
      const mount = createFileSystem('tmpfs', 'hotmount', { size: '4k', mode: '0755' }, ['noSuid', 'noExec']);
      const path = `/proc/self/fd/${mount}`;
      this.#opened = { path, child: new SpareChild({ ...this.#options, uid: PROBE_UID, cwd: path }) };
    }
    return this.#opened;
  }
}
