import { kernelWords } from '../../linux/kernel-log.ts';

/** What a mount has shown of a disk that its last user did not leave in order, or that is too new for the driver to write to it. */
export interface Dirt {
  /** The driver does not write to it. */
  readonly isUnwritable: boolean;
  readonly isTooNew?: boolean;
  /** Of the kernel, or the FUSE program; empty where nothing was said. */
  readonly words: string;
}

/** Bytes: it is kept in an extended attribute. */
const MAX_WORDS = 1000;

/** Of ntfs3 and ntfs-3g, which refuse, or do not write. */
const DIRTY_NTFS = /dirty|hibernat|unclean|unsafe state|fast restart/i;
/** Of FAT, exFAT and ext, which mount it all the same. HFS+ names no device, so that its words cannot be told from others'. */
const NOT_UNMOUNTED = /not properly unmounted|mounting fs with errors|mounting unchecked fs/i;

/** Of ext, XFS and btrfs, which can be read without knowing some features, and not written. */
const TOO_NEW = /couldn't mount RDWR because|unknown read-only compatible features|mount read-write because of un/i;
/** Of the same, which cannot be read either. */
const UNKNOWN = /because of unsupported optional features|unknown incompat(ible)? features/i;

/**
 * Undefined where all is in order.
 * @param stderr of the program that mounts
 * @param said what the kernel has said about the disk meanwhile
 */
export function dirtOf(type: string, stderr: string, said: readonly string[]): Dirt | undefined {
  const tooNew = said.filter((line) => TOO_NEW.test(line));
  if (tooNew.length > 0) return { isUnwritable: true, isTooNew: true, words: kernelWords(tooNew).slice(0, MAX_WORDS) };
  const isUnwritable = isDirtyNtfs(type, stderr, said);
  const telling = said.filter((line) => [DIRTY_NTFS, NOT_UNMOUNTED].some((pattern) => pattern.test(line)));
  if (!isUnwritable && !telling.some((line) => NOT_UNMOUNTED.test(line))) return undefined;
  return { isUnwritable, words: kernelWords(telling).slice(0, MAX_WORDS) };
}

/** Whether the kernel has said that it does not know the file system well enough to mount it, as it should have been. */
export const isTooNew = (said: readonly string[]): boolean =>
  said.some((line) => TOO_NEW.test(line) || UNKNOWN.test(line));

/** Whether the driver has refused an NTFS that Windows left dirty or hibernated, or does not write to it. */
export const isDirtyNtfs = (type: string, stderr: string, said: readonly string[]): boolean =>
  type === 'ntfs' && DIRTY_NTFS.test(`${stderr} ${said.join()}`);
