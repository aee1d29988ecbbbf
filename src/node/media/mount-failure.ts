import { isErrno, isShortage } from '../../linux/errors.ts';
import { kernelWords } from '../../linux/kernel-log.ts';
import { isDirtyNtfs, isTooNew } from './dirt.ts';

export const NTFS_ADVICE =
  'Windows left it dirty or hibernated: shut Windows down with fast startup off, or check the disk there (chkdsk /f), and plug it in anew; a class with `ifDirty: readOnly` mounts it read-only';

const TOO_NEW_ADVICE =
  'its file system has features that this kernel does not know: use a newer kernel, or make the file system without them (mke2fs -O ^FEATURE). If they only prevent writing, a class without `ifDirty: fail` mounts it read-only';

/**
 * Why a disk could not be mounted, for a person: what the program said, without the paths that only hotmount knows, and what the kernel did.
 * @param said what the kernel has said about the disk meanwhile
 */
export function explainFailure(
  command: string,
  code: number | undefined,
  stderr: string,
  type: string,
  said: readonly string[],
): string {
  // mount(8) ends with advice ("dmesg(1) may have more information"); the first line is what happened.
  const [first = ''] = stderr.trim().split('\n');
  const line = first.replace(/^mount: \/proc\/\d+\/fd\/\d+: /, '').replace(/ \/proc\/\d+\/fd\/\d+/g, ' it');
  const parts = [line || `${command} ended with code ${code}`];
  if (said.length > 0) parts.push(kernelWords(said));
  if (isDirtyNtfs(type, stderr, said)) parts.push(NTFS_ADVICE);
  if (isTooNew(said)) parts.push(TOO_NEW_ADVICE);
  return parts.join('; ');
}

/** Why a mount of it with other owners could not be made this time, for a person. @param error of the system */
export function explainMapFailure(error: Error): string {
  if (isShortage(error)) return `${error.message} (the node or the daemon lacks memory, processes or descriptors)`;
  if (isErrno(error, 'EIO', 'ENXIO')) return `${error.message} (the disk does not answer as it should: see dmesg)`;
  return error.message;
}
