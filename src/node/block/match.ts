import { type MediaMatch, matchesGlobs } from '../../policy/index.ts';

/** What media and device classes match in the same way. Left out, a criterion holds. */
export const is = (globs: readonly string[] | undefined, value: string): boolean =>
  globs === undefined || matchesGlobs(globs, value);

/**
 * @param disk its `size` in bytes
 * @param isFixed it was there before hotmount and cannot be taken out: only `removable: false` says that such a one is meant
 */
export function isDisk(
  entry: Pick<MediaMatch, 'removable' | 'minSize' | 'maxSize'>,
  disk: { readonly removable: boolean; readonly size: number },
  isFixed: boolean,
): boolean {
  return (
    (entry.removable === false || !isFixed) &&
    (entry.removable === undefined || entry.removable === disk.removable) &&
    (entry.minSize === undefined || disk.size >= entry.minSize) &&
    (entry.maxSize === undefined || disk.size <= entry.maxSize)
  );
}
