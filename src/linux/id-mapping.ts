/** Ids that follow one another: in a container, and on the node. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

/** Who the users and groups of a user namespace are on the node. */
export interface IdMapping {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** A line of a uid_map: ids on the disk, the ids that they are shown as, how many. */
export type IdLine = readonly [from: number, to: number, count: number];

/**
 * What is shown in a container where the node shows a disk's ids otherwise than they are on it: those that `shown` leads to are the
 * container's own, and `ranges` says who these are on the node. Ids that the container has not got have no line. Pure.
 */
export function composeIds(shown: readonly IdLine[], ranges: readonly IdRange[]): IdLine[] {
  return shown.flatMap(([from, to, count]) =>
    ranges.flatMap(({ containerId, hostId, length }): IdLine[] => {
      const first = Math.max(to, containerId);
      const end = Math.min(to + count, containerId + length);
      return first < end ? [[from + first - to, hostId + first - containerId, end - first]] : [];
    }),
  );
}
