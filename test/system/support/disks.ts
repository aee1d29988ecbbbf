import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { loopDevices } from '../../../src/linux/loop.ts';
import { note, type Rig, run, until } from './rig.ts';

export interface DiskOptions {
  readonly fsType?: 'ext4' | 'xfs' | 'btrfs' | 'ntfs' | 'squashfs' | 'none';
  readonly label?: string;
  /** Of mkfs.ext4 -O. */
  readonly features?: string;
  /** MiB. */
  readonly size?: number;
  /** File name → content, written at its root. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Attaches an image to a free loop device, `/dev/loopN`. One that the kernel has to make for that is given back at the end. */
export function attachLoop(rig: Rig, image: string, ...flags: string[]): string {
  for (let attempt = 0; ; attempt++) {
    const before = loopDevices();
    try {
      const device = run('losetup', '--show', '-f', ...flags, image);
      const number = device.replace('/dev/loop', '');
      if (!before.has(Number(number))) note(rig, 'loop', number);
      return device;
    } catch (error) {
      // Someone else was faster to take the device that was free.
      if (attempt === 5) throw error;
    }
  }
}

let images = 0;

/** A disk image that can be plugged in and out as a loop device: which sends `change`, as card readers do. */
export class LoopDisk {
  readonly image: string;
  readonly uuid: string;
  /** `/dev/loopN` while it is plugged in. */
  device: string | undefined;
  readonly #size: number;
  readonly #rig: Rig;

  constructor(
    rig: Rig,
    {
      fsType = 'ext4',
      label = '',
      features,
      size = fsType === 'xfs' ? 320 : fsType === 'btrfs' ? 128 : 8,
      files = {},
    }: DiskOptions = {},
  ) {
    this.image = rig.path(`disk-${images++}.img`);
    this.uuid = rig.uuid();
    this.#size = size << 20;
    this.#rig = rig;
    writeFileSync(this.image, '');
    truncateSync(this.image, this.#size);
    const content = rig.path(`content-${images}`);
    mkdirSync(content);
    for (const [name, text] of Object.entries(files)) writeFileSync(`${content}/${name}`, text);
    if (fsType === 'ext4') {
      const flags = features === undefined ? [] : ['-O', features];
      run(
        'mkfs.ext4',
        '-q',
        '-F',
        '-E',
        'nodiscard',
        '-U',
        this.uuid,
        '-L',
        label,
        '-d',
        content,
        ...flags,
        this.image,
      );
    } else if (fsType === 'btrfs') {
      run('mkfs.btrfs', '-q', '-f', '-U', this.uuid, ...(label ? ['-L', label] : []), '-r', content, this.image);
    } else if (fsType === 'xfs') {
      run('mkfs.xfs', '-q', '-f', '-m', `uuid=${this.uuid}`, ...(label ? ['-L', label] : []), this.image);
    } else if (fsType === 'squashfs') {
      run('mksquashfs', content, this.image, '-quiet', '-no-progress', '-noappend');
    } else if (fsType === 'ntfs') {
      run('mkntfs', '-Q', '-F', '-q', ...(label ? ['-L', label] : []), this.image);
    }
    rig.onClose('disk', () => this.device && this.unplug());
  }

  /** `loopN` */
  get name(): string {
    return basename(this.device ?? '');
  }

  plug(...flags: string[]): string {
    truncateSync(this.image, this.#size);
    this.device = attachLoop(this.#rig, this.image, ...flags);
    return this.name;
  }

  /** As a card taken out of its reader: the device stays, its size is 0 at once, whoever has it open. */
  pull(): void {
    const content = readFileSync(this.image);
    // What the file system writes in between makes the image grow again: a little card, and not none.
    do {
      truncateSync(this.image, 0);
      run('losetup', '-c', this.device as string);
    } while (Number(readFileSync(`/sys/block/${this.name}/size`, 'utf8')) > 0);
    // What was on it is kept: the same card can come back.
    this.#kept = content;
  }
  #kept: Buffer | undefined;

  /** The same card back in the same reader. */
  pushBack(): void {
    if (this.#kept) writeFileSync(this.image, this.#kept);
    this.#kept = undefined;
    run('losetup', '-c', this.device as string);
  }

  /** Detaches it; lazily, where it is still mounted. */
  unplug(): void {
    run('losetup', '-d', this.device as string);
    this.device = undefined;
    if (this.#kept) writeFileSync(this.image, this.#kept);
    this.#kept = undefined;
  }
}

/** A disk in memory that really comes and goes: `add` and `remove`. */
export class ZramDisk {
  readonly id: string;
  readonly name: string;
  readonly uuid: string;

  constructor(rig: Rig, { label = '', size = 16 }: DiskOptions = {}) {
    this.uuid = rig.uuid();
    this.id = readFileSync('/sys/class/zram-control/hot_add', 'utf8').trim();
    this.name = `zram${this.id}`;
    note(rig, 'zram', this.id);
    this.#note = rig.path(`zram-${this.id}`);
    // What was unmounted lazily a moment ago, and a child that looks at it for a daemon that was killed, may still have it open.
    rig.onClose('disk', () => this.#present && this.unplugWhenFree());
    writeFileSync(`/sys/block/${this.name}/disksize`, String(size * 2 ** 20));
    this.#makeFileSystem(rig, label, size);
    // Going from no size to one sends nothing (set_capacity_and_notify); udevd would announce the new file system.
    writeFileSync(`/sys/block/${this.name}/uevent`, 'change');
  }
  #present = true;
  readonly #note: string;

  /** In an image first: mkfs wants a disk exclusively, and a daemon asks of a disk that has just come whether somebody has it so. */
  #makeFileSystem(rig: Rig, label: string, size: number): void {
    const image = rig.path(`${this.name}.img`);
    writeFileSync(image, '');
    truncateSync(image, size * 2 ** 20);
    // A zram device reads and writes pages.
    run('mkfs.ext4', '-q', '-F', '-b', '4096', '-U', this.uuid, '-L', label, image);
    run('dd', `if=${image}`, `of=/dev/${this.name}`, 'bs=64k', 'conv=sparse,notrunc', 'status=none');
    rmSync(image);
  }

  /** Fails with EBUSY while it is mounted: unplugging by force is not in zram's power. */
  unplug(): void {
    writeFileSync('/sys/class/zram-control/hot_remove', this.id);
    this.#present = false;
    // Its number may be somebody else's from now on.
    rmSync(this.#note, { force: true });
  }

  async unplugWhenFree(): Promise<void> {
    await until(`${this.name} can be removed`, () => {
      this.unplug();
      return true;
    });
  }
}

/** A partition on a loop device, as the kernel finds them on a stick: `add` and `remove`. */
export class Partition {
  readonly name: string;
  readonly #disk: string;
  readonly #number: string;

  /** @param disk plugged in; what is on the first partition begins at its sector 2048 */
  constructor(rig: Rig, disk: string, sectors: number, number = 1) {
    this.#disk = disk;
    this.#number = String(number);
    this.name = `${basename(disk)}p${number}`;
    run('addpart', disk, this.#number, String(2048 + (number - 1) * sectors), String(sectors));
    // What was unmounted lazily a moment ago may still have it open; left behind, it would be on the next disk that gets the device.
    rig.onClose('disk', () =>
      until(`${this.name} can be removed`, () => {
        if (this.#present) this.unplug();
        return true;
      }),
    );
  }
  #present = true;

  unplug(): void {
    run('delpart', this.#disk, this.#number);
    this.#present = false;
  }
}

/** The id of the program that serves a plugged NTFS disk, or that mounts it just now. @throws where there is none */
export const ntfsServer = ({ device }: LoopDisk): number => Number(run('pgrep', '-f', `^ntfs-3g .* ${device} `));
