import type { Bind } from './actual.ts';
import type { Desired } from './desired.ts';

/** How a live directory comes to be what it should be: first all is taken away that should not be there, then the rest is given. */
export interface Plan {
  readonly taken: readonly Bind[];
  /** Directories without a mount, left by a daemon that was killed between two steps. */
  readonly strays: readonly string[];
  /** By place, the directory to mount there. */
  readonly given: ReadonlyMap<string, string>;
}

/**
 * Pure.
 * @param places the directories that there are, mounted on or not
 */
export function plan({ classes }: Pick<Desired, 'classes'>, binds: readonly Bind[], places: readonly string[]): Plan {
  const byPlace = Map.groupBy(binds, ({ place }) => place);
  const isRight = ({ place, source }: Bind): boolean =>
    classes.get(place) === source && byPlace.get(place)?.length === 1;
  const kept = new Set(binds.filter(isRight).map(({ place }) => place));
  return {
    taken: binds.filter((bind) => !isRight(bind)),
    strays: places.filter((place) => !byPlace.has(place)),
    given: new Map([...classes].filter(([place]) => !kept.has(place))),
  };
}
