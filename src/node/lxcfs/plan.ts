/** An instance as the plan sees it. */
export interface InstanceState {
  readonly id: string;
  /** unproven: runs, and no reader has compared yet. */
  readonly phase: 'unproven' | 'ready' | 'dead';
  /** Runs the program that is installed, with what it should be started with, in this container. */
  readonly isCurrent: boolean;
  /** No longer published, it may still answer those who have its files open. */
  readonly isInGrace: boolean;
  /** Readers wait for it for ever: until it is cleared away. */
  readonly isStuck: boolean;
}

export interface Situation {
  readonly instances: readonly InstanceState[];
  /** The instance that `<run-dir>/lxcfs` leads to, of whichever supervisor. */
  readonly published: string | undefined;
  readonly isStarting: boolean;
  readonly isAttaching: boolean;
  /** No program, or the last attempts failed a moment ago. */
  readonly mayStart: boolean;
}

export type Step =
  | { readonly do: 'publish'; readonly id: string }
  | { readonly do: 'start' }
  | { readonly do: 'clear'; readonly id: string };

/** An active one and a warm standby. */
const WANTED = 2;

/**
 * The next thing to do, undefined where all is as it should be or has to be waited for. What containers read from comes first, then
 * the standby, then what can go; nothing goes before containers have been moved off it.
 */
export function plan({ instances, published, isStarting, isAttaching, mayStart }: Situation): Step | undefined {
  const ready = instances.filter(({ phase }) => phase === 'ready');
  const current = instances.find(({ id, phase }) => id === published && phase === 'ready');
  const best = ready.find(({ isCurrent }) => isCurrent) ?? ready[0];
  if (best && best.id !== published && (!current || (best.isCurrent && !current.isCurrent))) {
    return { do: 'publish', id: best.id };
  }
  // Starting a process takes as long as moving a dozen containers does.
  if (isAttaching) return undefined;
  const fit = instances.filter(({ phase, isCurrent }) => isCurrent && phase !== 'dead');
  if (fit.length < WANTED && mayStart && !isStarting) return { do: 'start' };
  // The published one first: it is never the surplus.
  const keep = fit.toSorted((a, b) => Number(b.id === published) - Number(a.id === published)).slice(0, WANTED);
  const isComplete = ready.filter((instance) => instance.isCurrent).length >= WANTED;
  const goes = instances.find(({ id, phase, isCurrent, isInGrace, isStuck }) => {
    if (id === published) return false;
    if (phase === 'dead') return true;
    // One too many: of an earlier program, or started by two supervisors.
    const isSpare = !isCurrent || keep.every((instance) => instance.id !== id);
    return phase === 'ready' && isSpare && !isInGrace && (isComplete || (isStuck && current !== undefined));
  });
  return goes && { do: 'clear', id: goes.id };
}
