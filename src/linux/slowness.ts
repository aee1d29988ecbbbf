const NAME = 'HOTMOUNT_SLOWNESS';

/** @throws Error that says what is expected */
export function readSlowness(text = '1'): number {
  const slowness = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
  if (slowness >= 1 && slowness <= 100) return slowness;
  throw new Error(`${NAME}=${text}: expected a number from 1 to 100`);
}

const slowness = readSlowness(process.env[NAME] || undefined);

/**
 * What to wait for a program or a file system before it counts as one that hangs. On a node that is emulated, or small and busy, what does
 * not hang takes as many times longer as `HOTMOUNT_SLOWNESS` says.
 * @param ms on any other node
 */
export const patient = (ms: number): number => ms * slowness;
