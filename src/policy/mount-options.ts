import { didYouMean, quote } from '../contract/suggest.ts';
import type { MediaClass } from './policy.ts';

/**
 * What a policy may say in `mount.options`, and what a file system is mounted with when it says nothing. Deny by default, for a
 * foreign disk is hostile: nothing that names another device (`device=`, `logdev=`, `journal_path=`), nothing that gives the disk's
 * programs or nodes a meaning on the host (`suid`, `dev`), nothing that lets others unmount (`user`). The options themselves: mount(8),
 * Linux Documentation/filesystems, and for NTFS those that ntfs3 and ntfs-3g share. The same idea as udisks' mount_options.conf.
 */
export interface FileSystem {
  /** In force always; a policy may repeat them, not change them. */
  readonly fixed?: readonly string[];
  /** In force unless the policy sets the same option. */
  readonly defaults?: readonly string[];
  readonly allowed: Readonly<Record<string, OptionValue>>;
  /** Files have owners on the disk, and the kernel can show them as others (`FS_ALLOW_IDMAP`). */
  readonly hasOwners?: true;
  /** The kernel has no way to write it. */
  readonly readOnly?: true;
  /** In force where it is mounted read-only: to replay a journal is to write, and fails on a disk that is write-protected. */
  readonly withoutReplay?: readonly string[];
}
/** `none`: the option is a flag. */
type OptionValue = 'none' | 'number' | 'octal' | 'word';

const VALUES: Readonly<Record<OptionValue, { pattern: RegExp; expected: string }>> = {
  none: { pattern: /^$/, expected: 'takes no value' },
  number: { pattern: /^[0-9]{1,10}$/, expected: 'takes a number' },
  octal: { pattern: /^0?[0-7]{1,3}$/, expected: 'takes an octal number such as 022' },
  word: { pattern: /^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,255}$/, expected: 'takes a word of letters, digits and _.:@/-' },
};

/** In force for every file system, always. relatime gives way to noatime only, which writes less still. */
export const ALWAYS = ['nosuid', 'nodev', 'relatime'] as const;

const EVERYWHERE = {
  noexec: 'none',
  noatime: 'none',
  nodiratime: 'none',
  lazytime: 'none',
  nosymfollow: 'none',
  sync: 'none',
  dirsync: 'none',
  context: 'word',
} as const satisfies Record<string, OptionValue>;

const OWNER = { uid: 'number', gid: 'number' } as const;
const MASKS = { ...OWNER, umask: 'octal', dmask: 'octal', fmask: 'octal' } as const;
/** These have no owners: without it, only root in the container could write, and the policy already says who may have the disk. */
const OPEN_TO_THE_POD = 'umask=000';

/** A policy that let `errors=panic` on the disk stand would let a stick take the node down. */
const EXT: FileSystem = {
  fixed: ['errors=remount-ro'],
  withoutReplay: ['noload'],
  hasOwners: true,
  allowed: { commit: 'number', discard: 'none', nodiscard: 'none', noload: 'none', acl: 'none', noacl: 'none' },
};

/** What hotmount mounts, by the names that blkid gives. */
export const FILE_SYSTEMS: Readonly<Record<string, FileSystem>> = {
  ext2: { fixed: EXT.fixed ?? [], hasOwners: true, allowed: { acl: 'none', noacl: 'none' } },
  ext3: EXT,
  ext4: EXT,
  xfs: {
    // A disk that is cloned, or plugged in anew while files of it are still open, has the UUID of one that the kernel knows already.
    fixed: ['nouuid'],
    hasOwners: true,
    withoutReplay: ['norecovery'],
    allowed: {
      discard: 'none',
      nodiscard: 'none',
      inode32: 'none',
      inode64: 'none',
      nouuid: 'none',
      norecovery: 'none',
    },
  },
  btrfs: {
    hasOwners: true,
    withoutReplay: ['rescue=nologreplay'],
    allowed: {
      autodefrag: 'none',
      compress: 'word',
      'compress-force': 'word',
      commit: 'number',
      degraded: 'none',
      discard: 'word',
      nodatacow: 'none',
      nodiscard: 'none',
      subvol: 'word',
      subvolid: 'number',
    },
  },
  f2fs: { hasOwners: true, withoutReplay: ['norecovery'], allowed: { discard: 'none', nodiscard: 'none' } },
  vfat: {
    // quiet: to change an owner or mode that the file system cannot have does nothing, rather than fail (cp -p, tar).
    defaults: [OPEN_TO_THE_POD, 'utf8', 'flush', 'quiet'],
    allowed: {
      ...MASKS,
      quiet: 'none',
      utf8: 'none',
      flush: 'none',
      showexec: 'none',
      discard: 'none',
      codepage: 'number',
      iocharset: 'word',
      shortname: 'word',
      tz: 'word',
      time_offset: 'number',
    },
  },
  exfat: {
    defaults: [OPEN_TO_THE_POD],
    allowed: { ...MASKS, iocharset: 'word', discard: 'none', time_offset: 'number' },
  },
  ntfs: { defaults: [OPEN_TO_THE_POD], allowed: { ...MASKS, windows_names: 'none' } },
  hfsplus: { allowed: { ...OWNER, umask: 'octal', nls: 'word' } },
  udf: { allowed: { ...OWNER, umask: 'octal', mode: 'octal', dmode: 'octal', iocharset: 'word' } },
  iso9660: {
    readOnly: true,
    allowed: { ...OWNER, mode: 'octal', dmode: 'octal', iocharset: 'word', norock: 'none', nojoliet: 'none' },
  },
  squashfs: { readOnly: true, allowed: {} },
  erofs: { readOnly: true, allowed: {} },
};
export const FILE_SYSTEM_NAMES = Object.keys(FILE_SYSTEMS);

const NEVER: Readonly<Record<string, string>> = {
  suid: 'is never allowed: programs of a foreign disk would run as root',
  dev: 'is never allowed: nodes of a foreign disk would open any device of the node',
  exec: 'is what a disk is mounted with where noexec is not said: leave it out',
  ro: 'is not an option here: write readOnly: true beside options',
  rw: 'is not an option here: leave it out, or write readOnly: false beside options',
  errors: 'is always errors=remount-ro on ext file systems, and other file systems do not know it',
  defaults: 'means suid, dev and exec: leave it out',
  remount: 'is not an option of a new mount: leave it out',
  loop: 'is not an option here: attach the image yourself, and hotmount sees the loop device',
  ...Object.fromEntries(
    ['user', 'users', 'owner', 'group'].map((key) => [key, 'is never allowed: it lets others than hotmount unmount']),
  ),
  ...Object.fromEntries(
    ['atime', 'diratime', 'strictatime', 'norelatime', 'nolazytime'].map((key) => [
      key,
      'is never allowed: media are mounted relatime, or noatime, so that reading does not write',
    ]),
  ),
};

/**
 * Why a class may not have this mount option, as a phrase that goes after the quoted option; undefined where it may. An option is
 * right if at least one of the file systems that the class can match knows it; `mountOptions` leaves it out for the others.
 */
export function optionProblem(option: string, fsTypes: readonly string[] = FILE_SYSTEM_NAMES): string | undefined {
  if (option.includes(',')) return `holds several: write ${`[${option.split(',').join(', ')}]`}`;
  const { key, value } = split(option);
  if ((ALWAYS as readonly string[]).includes(option)) return undefined;
  const known = fsTypes.filter((fsType) => Object.hasOwn(FILE_SYSTEMS, fsType));
  if (known.some((fsType) => FILE_SYSTEMS[fsType]?.fixed?.includes(option))) return undefined;
  if (Object.hasOwn(NEVER, key)) return NEVER[key];
  const kinds = known.flatMap((fsType) => kindOf(key, fsType) ?? []);
  if (kinds.some((kind) => VALUES[kind].pattern.test(value))) return undefined;
  const [kind] = kinds;
  if (kind !== undefined) return VALUES[kind].expected;
  const owners = FILE_SYSTEM_NAMES.filter((fsType) => kindOf(key, fsType) !== undefined);
  if (owners.length > 0) return `is an option of ${owners.join(', ')}, and this class matches ${known.join(', ')} only`;
  const names = [...new Set(known.flatMap((fsType) => Object.keys(allowedFor(fsType))))];
  return `is not among the mount options that a policy may give${didYouMean(key, names) || `: ${names.join(', ')}`}`;
}

/** The file systems among `fsTypes` that the option does nothing for. Expects an option without an `optionProblem`. */
export const ignoredBy = (option: string, fsTypes: readonly string[]): readonly string[] =>
  fsTypes.filter((fsType) => !isAlwaysOn(option, fsType) && !isAllowed(option, fsType));

/**
 * What to mount a file system with: what is always in force, then its defaults, then what the class says and the file system has.
 * Expects a name of FILE_SYSTEMS (throws a RangeError otherwise); options that are not allowed are left out, whoever let them in.
 */
export function mountOptions(
  fsType: string,
  mount: Pick<MediaClass['mount'], 'readOnly' | 'options' | 'owner' | 'mode'>,
): string[] {
  const fileSystem = Object.hasOwn(FILE_SYSTEMS, fsType) ? FILE_SYSTEMS[fsType] : undefined;
  if (fileSystem === undefined)
    throw new RangeError(`hotmount has no mount options for the file system ${quote(fsType)}`);
  const chosen = mount.options.filter((option) => isAllowed(option, fsType) && !isAlwaysOn(option, fsType));
  const chosenKeys = chosen.map((option) => split(option).key);
  const given = ownership(fsType, mount);
  const setKeys = [...chosenKeys, ...given.map((option) => split(option).key)];
  const defaults = [
    ...(fileSystem.defaults ?? []).filter((option) => !setKeys.includes(split(option).key)),
    ...given.filter((option) => !chosenKeys.includes(split(option).key)),
  ];
  const always = ALWAYS.filter((option) => option !== 'relatime' || !chosenKeys.includes('noatime'));
  const isReadOnly = mount.readOnly || fileSystem.readOnly;
  const access = isReadOnly ? ['ro', ...always, ...(fileSystem.withoutReplay ?? [])] : ['rw', ...always];
  return [...new Set([...access, ...(fileSystem.fixed ?? []), ...defaults, ...chosen])];
}

/** A class's owner and mode, as options of a file system that has neither on the disk. */
function ownership(fsType: string, { owner, mode }: Pick<MediaClass['mount'], 'owner' | 'mode'>): string[] {
  const allowed = FILE_SYSTEMS[fsType]?.allowed ?? {};
  const owners = owner && 'uid' in allowed ? [`uid=${owner.uid}`, `gid=${owner.gid}`] : [];
  if (mode === undefined) return owners;
  const octal = (bits: number): string => bits.toString(8).padStart(3, '0');
  if ('umask' in allowed) return [...owners, `umask=${octal(~mode & 0o777)}`];
  return 'dmode' in allowed ? [...owners, `mode=${octal(mode)}`, `dmode=${octal(mode)}`] : owners;
}

/** Whether files have owners of their own on the disk, which an idmapped mount can show as others. */
export const hasOwners = (fsType: string): boolean => FILE_SYSTEMS[fsType]?.hasOwners === true;

/** Whether, by these options, the file system shows what is on the disk without the last changes that its journal may hold. */
export const isWithoutReplay = (fsType: string, options: readonly string[]): boolean =>
  (FILE_SYSTEMS[fsType]?.withoutReplay ?? []).some((option) => options.includes(option));

const allowedFor = (fsType: string): Readonly<Record<string, OptionValue>> => ({
  ...EVERYWHERE,
  ...FILE_SYSTEMS[fsType]?.allowed,
});

function kindOf(key: string, fsType: string): OptionValue | undefined {
  const allowed = allowedFor(fsType);
  return Object.hasOwn(allowed, key) ? allowed[key] : undefined;
}

function isAllowed(option: string, fsType: string): boolean {
  const { key, value } = split(option);
  const kind = kindOf(key, fsType);
  return kind !== undefined && VALUES[kind].pattern.test(value);
}

const isAlwaysOn = (option: string, fsType: string): boolean =>
  [...ALWAYS, ...(FILE_SYSTEMS[fsType]?.fixed ?? [])].includes(option);

function split(option: string): { key: string; value: string } {
  const equals = option.indexOf('=');
  if (equals < 0) return { key: option, value: '' };
  // `key=` is not the flag `key`: no kind of value allows the "=" alone.
  return { key: option.slice(0, equals), value: option.slice(equals + 1) || '=' };
}
