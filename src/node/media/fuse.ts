import { runChild } from '../../linux/child.ts';
import type { Mounted } from './actual.ts';

/** ms. A program that is busy with a slow disk may take longer; then it is alive. */
const ANSWER_DEADLINE = 5000;

/** Whether a FUSE program serves it, and not the kernel. */
export const isServed = ({ main }: Mounted): boolean => main[0]?.fsType.startsWith('fuse') === true;

/**
 * Asks the FUSE program for the file system's figures. One that has died leaves its mount behind, on which every call fails with
 * ENOTCONN until it is unmounted.
 */
export async function askServer({ main }: Mounted): Promise<{ died: boolean; stuck: Promise<void> | undefined }> {
  const args = ['-f', '--', main[0]?.mountPoint ?? ''];
  const { code, stderr, stuck } = await runChild('stat', args, { deadline: ANSWER_DEADLINE });
  return { died: code === 1 && stderr.includes('Transport endpoint is not connected'), stuck };
}
