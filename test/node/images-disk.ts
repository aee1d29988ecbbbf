import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { succeed } from '../execute.ts';
import type { NodeBinaries } from './binaries.ts';
import { writeImages } from './images.ts';
import type { Machine } from './machine.ts';

const SIZE = '12G';

/**
 * Makes the disk of a machine that would take minutes to unpack images: ext4, with the directory of another machine, in which containerd has
 * imported them.
 * @param image an archive, besides what `writeImages` writes
 */
export async function makeImagesDisk(
  disk: string,
  machine: Machine,
  { containerd }: NodeBinaries,
  image: string,
): Promise<void> {
  const pods = join(machine.directory, 'pods.tar');
  await writeImages(pods);
  await machine.serve('containerd', [join(containerd, 'containerd')]);
  const ctr = [join(containerd, 'ctr'), '--namespace', 'k8s.io'];
  await machine.sh('for try in $(seq 300); do "$@" && exit; sleep 0.1; done; exit 1', ...ctr, 'version');
  for (const archive of [pods, image]) {
    await machine.sh('exec "$@"', ...ctr, 'images', 'import', '--local', '--discard-unpacked-layers', archive);
  }
  await machine.signal('containerd', 'TERM');
  await machine.sh('while [ -e "/proc/$(cat "$1")" ]; do sleep 0.1; done', join(machine.directory, 'containerd.pid'));
  await rm(disk, { force: true });
  await succeed(['truncate', '--size', SIZE, disk]);
  await succeed(['mkfs.ext4', '-q', '-F', '-d', machine.directory, disk]);
}
