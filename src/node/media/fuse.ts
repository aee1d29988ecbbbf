import { runChild } from '../../linux/child.ts';
import { patient } from '../../linux/slowness.ts';
import type { Mounted } from './actual.ts';

/** ms. A program that is busy with a slow disk may take longer: it is asked again. */
export const ANSWER_DEADLINE = patient(5000);

/** Whether a FUSE program serves it, and not the kernel. */
export const isServed = ({ main }: Pick<Mounted, 'main'>): boolean => main[0]?.fsType.startsWith('fuse') === true;

/** `hangs`: it did not answer in time, and may yet. `stuck`: the child that asked hangs in the kernel. */
export interface Answer {
  readonly died: boolean;
  readonly hangs: boolean;
  readonly stuck: Promise<void> | undefined;
}

/**
 * Asks the FUSE program for the file system's figures. One that has died leaves its mount behind, on which every call fails with
 * ENOTCONN until it is unmounted.
 */
export async function askServer({ main }: Mounted): Promise<Answer> {
  const args = ['-f', '--', main[0]?.mountPoint ?? ''];
  const { code, stderr, timedOut, stuck } = await runChild('stat', args, { deadline: ANSWER_DEADLINE });
  return { died: code === 1 && stderr.includes('Transport endpoint is not connected'), hangs: timedOut, stuck };
}
