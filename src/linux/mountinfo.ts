import { readFileSync } from 'node:fs';

/** A line of `/proc/<pid>/mountinfo` (proc_pid_mountinfo(5)). */
export interface Mount {
  readonly id: number;
  readonly parent: number;
  /** `major:minor` of the file system. btrfs, overlay and others without one device of their own have major 0. */
  readonly device: string;
  /** The directory of the file system that is mounted; ends in `//deleted` where it has been removed. */
  readonly root: string;
  /** As the process sees it. Bytes that are not UTF-8 are replaced; `pathBytes(rawMountPoint)` has them all. */
  readonly mountPoint: string;
  /** The kernel's own spelling, octal escapes and all, one character a byte. */
  readonly rawMountPoint: string;
  readonly options: readonly string[];
  /** Peer group, where it is shared. */
  readonly shared: number | undefined;
  /** Peer group it receives from, where it is a slave. */
  readonly master: number | undefined;
  readonly propagateFrom: number | undefined;
  readonly unbindable: boolean;
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/**
 * Parses a whole table, given one character a byte (`latin1`).
 * @throws Error on a line that no kernel writes: a table understood by half is worse than none
 */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) if (line !== '') mounts.push(parseLine(line));
  return mounts;
}

//   36 35 98:0 /mnt1 /mnt2 rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue
//   id parent device root mountpoint options [tag[:value]]… - type source superoptions
// One space between fields, spaces within them escaped; a source may be empty, and then there are two spaces.
function parseLine(line: string): Mount {
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  const [id, parent, device, root, rawMountPoint, options] = fields;
  const [fsType, source, ...superOptions] = fields.slice(dash + 1);
  if (dash < 0 || options === undefined || source === undefined || !/^\d+ \d+ \d+:\d+ /.test(line)) {
    throw new Error(`not a line of mountinfo: ${JSON.stringify(line)}`);
  }
  const tags = fields.slice(6, dash);
  const group = (name: string): number | undefined => {
    const tag = tags.find((candidate) => candidate.startsWith(`${name}:`));
    return tag === undefined ? undefined : Number(tag.slice(name.length + 1));
  };
  return {
    id: Number(id),
    parent: Number(parent),
    device: device as string,
    root: decodePath(root as string),
    mountPoint: decodePath(rawMountPoint as string),
    rawMountPoint: rawMountPoint as string,
    options: options.split(','),
    shared: group('shared'),
    master: group('master'),
    propagateFrom: group('propagate_from'),
    unbindable: tags.includes('unbindable'),
    fsType: decodePath(fsType as string),
    source: decodePath(source),
    superOptions: superOptions.join(' ').split(','),
  };
}

/** The bytes of a path as the kernel escaped it: `\040` and the like for space, tab, newline, backslash and `#`. */
export function pathBytes(raw: string): Buffer {
  return Buffer.from(
    raw.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    'latin1',
  );
}

/** A mount point for a system call: all its bytes, and a zero. */
export const mountPointBytes = ({ rawMountPoint }: Mount): Buffer =>
  Buffer.concat([pathBytes(rawMountPoint), Buffer.of(0)]);

function decodePath(raw: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the question is exactly whether all is plain ASCII
  return /^[\x00-\x5b\x5d-\x7f]*$/.test(raw) ? raw : pathBytes(raw).toString('utf8');
}

/** The mount table that a process sees; of this one where none is given. @throws ENOENT, EINVAL where the process has gone */
export function readMountinfo(pid: number | 'self' = 'self'): Mount[] {
  return parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'));
}

/** The mount that a path lookup of `mountPoint` ends on: of several stacked there, the last one of the table. */
export function topMount(mounts: readonly Mount[], mountPoint: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === mountPoint);
}
