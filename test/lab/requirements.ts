import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs the lab runs on the host, and the Debian package each is in. */
const PROGRAMS: Record<string, string> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  mmdebstrap: 'mmdebstrap',
  npm: 'npm',
  busybox: 'busybox-static',
  cpio: 'cpio',
  depmod: 'kmod',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.vfat': 'dosfstools',
  mcopy: 'mtools',
  'mkfs.exfat': 'exfatprogs',
  'mount.exfat-fuse': 'exfat-fuse',
  genisoimage: 'genisoimage',
  mkudffs: 'udftools',
  'mkfs.f2fs': 'f2fs-tools',
  cryptsetup: 'cryptsetup-bin',
  dmsetup: 'dmsetup',
  mkntfs: 'ntfs-3g',
  runc: 'runc',
  crun: 'crun',
  secilc: 'secilc',
  'dpkg-deb': 'dpkg',
  'apt-get': 'apt',
  setpriv: 'util-linux',
  xz: 'xz-utils',
};

/** The PATH the lab looks programs up in: `sbin` is not on every user's. */
export const SEARCH_PATH = [process.env['PATH'] ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);

/**
 * Why the lab cannot run on this machine, as one sentence with the remedy; undefined when it can.
 *
 * It needs Linux on x86-64 (the guest's kernel and the machine's programs must be of one architecture) and root (the guest
 * reads the machine's files with the rights of qemu).
 */
export function whyLabCannotRun(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the lab needs Linux on x86-64, this is ${process.platform} on ${process.arch}`;
  }
  if (process.getuid?.() !== 0) return 'the lab needs root: run the tests as root';
  const missing = Object.keys(PROGRAMS).filter((program) => !isInstalled(program));
  if (missing.length === 0) return undefined;
  const packages = [...new Set(missing.map((program) => PROGRAMS[program]))];
  return `the lab needs ${missing.join(', ')}: apt-get install ${packages.join(' ')}`;
}

function isInstalled(program: string): boolean {
  return SEARCH_PATH.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return directory !== '';
    } catch {
      return false;
    }
  });
}
