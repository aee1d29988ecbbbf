import { kernelWords } from '../../linux/kernel-log.ts';

/** What a mount has shown of a disk that its last user did not leave in order. */
export interface Dirt {
  /** The driver does not write to it. */
  readonly isUnwritable: boolean;
  /** Of the kernel, or the FUSE program; empty where nothing was said. */
  readonly words: string;
}

/** Bytes: it is kept in an extended attribute. */
const MAX_WORDS = 1000;

/** Of ntfs3 and ntfs-3g, which refuse, or do not write. */
const DIRTY_NTFS = /dirty|hibernat|unclean|unsafe state|fast restart/i;
/** Of FAT, exFAT and ext, which mount it all the same. HFS+ names no device, so that its words cannot be told from others'. */
const NOT_UNMOUNTED = /not properly unmounted|mounting fs with errors|mounting unchecked fs/i;

/**
 * Undefined where all is in order.
 * @param stderr of the program that mounts
 * @param said what the kernel has said about the disk meanwhile
 */
export function dirtOf(type: string, stderr: string, said: readonly string[]): Dirt | undefined {
  const isUnwritable = isDirtyNtfs(type, stderr, said);
  const telling = said.filter((line) => [DIRTY_NTFS, NOT_UNMOUNTED].some((pattern) => pattern.test(line)));
  if (!isUnwritable && !telling.some((line) => NOT_UNMOUNTED.test(line))) return undefined;
  return { isUnwritable, words: kernelWords(telling).slice(0, MAX_WORDS) };
}

/** Whether the driver has refused an NTFS that Windows left dirty or hibernated, or does not write to it. */
export const isDirtyNtfs = (type: string, stderr: string, said: readonly string[]): boolean =>
  type === 'ntfs' && DIRTY_NTFS.test(`${stderr} ${said.join()}`);
