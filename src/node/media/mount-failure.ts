import { kernelWords } from '../../linux/kernel-log.ts';

/** What a dirty NTFS is called by ntfs3 and by ntfs-3g. */
const DIRTY_NTFS = /dirty|hibernat|unclean|unsafe state|fast restart/i;
const NTFS_ADVICE =
  'Windows left it dirty or hibernated: shut Windows down with fast startup off, or check the disk there (chkdsk /f), and plug it in anew; a class with `readOnly: true` mounts it as it is';

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
  if (type === 'ntfs' && DIRTY_NTFS.test(`${stderr} ${said.join()}`)) parts.push(NTFS_ADVICE);
  return parts.join('; ');
}
