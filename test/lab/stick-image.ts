import { mkdir, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hostCommand } from './host-command.ts';

export const STICK_FILE_SYSTEMS = ['vfat', 'exfat', 'ext4'] as const;
export type StickFileSystem = (typeof STICK_FILE_SYSTEMS)[number];

export interface StickSpec {
  fs: StickFileSystem;
  /** The volume's label: at most 11 characters in vfat (upper case), 15 in exfat, 16 bytes in ext4. */
  label?: string;
  /** Paths relative to the stick's root, and contents. */
  files?: Record<string, string | Uint8Array>;
  /** Size in MiB. Default 64. The file is sparse. */
  sizeMiB?: number;
  /** A partition table with one partition, as most sticks are sold, instead of a file system on the whole disk. Default false. */
  partitioned?: boolean;
}

const MIB = 1024 * 1024;

/** MBR partition types (the kernel does not look at them; other systems do). */
const PARTITION_TYPE: Record<StickFileSystem, number> = { vfat: 0x0c, exfat: 0x07, ext4: 0x83 };

/**
 * Writes the image of a USB stick into a new file in a directory and gives its path.
 * @throws Error of the mkfs program, e.g. when the label is too long
 */
export async function makeStickImage(directory: string, spec: StickSpec): Promise<string> {
  const scratch = await mkdtemp(join(directory, 'stick-'));
  const image = `${scratch}.img`;
  const tree = join(scratch, 'files');
  const volume = join(scratch, 'volume');
  try {
    await mkdir(tree);
    for (const [path, content] of Object.entries(spec.files ?? {})) {
      await mkdir(dirname(join(tree, path)), { recursive: true });
      await writeFile(join(tree, path), content);
    }
    await writeFile(volume, '');
    await truncate(volume, (spec.sizeMiB ?? 64) * MIB);
    await MAKE[spec.fs](volume, spec.label, tree);
    await hostCommand('dd', [
      `if=${volume}`,
      `of=${image}`,
      'bs=1M',
      `seek=${spec.partitioned ? 1 : 0}`,
      'conv=sparse',
    ]);
    if (spec.partitioned) await writePartitionTable(image, spec);
    await truncate(image, ((spec.sizeMiB ?? 64) + (spec.partitioned ? 1 : 0)) * MIB);
    return image;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

type Make = (volume: string, label: string | undefined, tree: string) => Promise<void>;

const MAKE: Record<StickFileSystem, Make> = {
  async ext4(volume, label, tree) {
    await hostCommand('mkfs.ext4', ['-q', '-F', ...flag('-L', label), '-d', tree, volume]);
  },
  async vfat(volume, label, tree) {
    await hostCommand('mkfs.vfat', [...flag('-n', label), volume]);
    await hostCommand('sh', [
      '-c',
      'for f in "$2"/* "$2"/.[!.]*; do [ ! -e "$f" ] || mcopy -s -i "$1" "$f" ::; done',
      'sh',
      volume,
      tree,
    ]);
  },
  /** Through FUSE, since the machine's kernel need not know exfat; in a mount namespace of its own, so nothing can stay mounted. */
  async exfat(volume, label, tree) {
    await hostCommand('mkfs.exfat', [...flag('-L', label), volume]);
    const script = 'mkdir "$3"; mount -t exfat-fuse -o loop "$1" "$3"; cp -r "$2"/. "$3"/; umount "$3"';
    await hostCommand('unshare', [
      '-m',
      '--propagation',
      'private',
      'sh',
      '-ec',
      script,
      'sh',
      volume,
      tree,
      `${volume}.mnt`,
    ]);
  },
};

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

/** One partition from 1 MiB to the end: status, CHS (unused), type, first sector, count; then the signature. */
async function writePartitionTable(image: string, { fs, sizeMiB = 64 }: StickSpec): Promise<void> {
  const sector = Buffer.alloc(512);
  sector.writeUInt8(PARTITION_TYPE[fs], 446 + 4);
  sector.writeUInt32LE(MIB / 512, 446 + 8);
  sector.writeUInt32LE((sizeMiB * MIB) / 512, 446 + 12);
  sector.writeUInt16LE(0xaa55, 510);
  const file = await open(image, 'r+');
  try {
    await file.write(sector, 0, 512, 0);
  } finally {
    await file.close();
  }
}
