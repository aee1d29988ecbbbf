export interface BackOffLimits {
  /** ms after the first failure. */
  readonly first: number;
  /** ms at most. */
  readonly last: number;
}

/** ms to wait after so many failures in a row: `first` after one, then twice as long each time, `last` at most; 0 after none. */
export const backOff = (failures: number, { first, last }: BackOffLimits): number =>
  failures < 1 ? 0 : Math.min(last, first * 2 ** (failures - 1));
