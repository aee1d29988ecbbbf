import type { Finding } from '../../contract/reasons.ts';

/** What a live pod has, and why not more. */
export interface LiveState {
  readonly pod: string;
  /** By place (`media/usb`), the directory of the run dir that is there. */
  readonly classes: ReadonlyMap<string, string>;
  readonly refusals: readonly Finding[];
}

/** What a live pod has now, in the annotations' own grammar, and why not more. */
export interface LiveContents {
  readonly media: readonly string[];
  readonly devices: readonly string[];
  readonly notGiven: readonly { readonly reason: string; readonly message: string }[];
}

/** Of what there is, in words that do not change with the time. Pure. */
export function contentsOf({ classes, refusals }: Omit<LiveState, 'pod'>): LiveContents {
  const items = (kind: string): string[] =>
    [...classes]
      .filter(([place]) => place.startsWith(`${kind}/`))
      .map(([place, source]) => `${place.slice(kind.length + 1)}${source.startsWith('media-ro/') ? ':ro' : ''}`)
      .sort();
  return {
    media: items('media'),
    devices: items('devices'),
    notGiven: refusals.map(({ reason, message }) => ({ reason, message })),
  };
}
