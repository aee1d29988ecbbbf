/** Something that a client holds. */
export interface Share {
  /** Who holds it: see sourceOf. */
  readonly source: string;
  /** How much of it, in whichever unit all of them have. */
  readonly weight: number;
}

/**
 * The one to take something from where there is too much of it: the first of the source that holds the most. So whoever floods a server
 * from one address displaces itself, and clients of other addresses keep what they have. `shares` come oldest first.
 */
export function heaviest<T extends Share>(shares: Iterable<T>): T | undefined {
  const sources = new Map<string, { total: number; readonly first: T }>();
  for (const share of shares) {
    const source = sources.get(share.source);
    if (source) source.total += share.weight;
    else sources.set(share.source, { total: share.weight, first: share });
  }
  let most: { total: number; readonly first: T } | undefined;
  for (const source of sources.values()) if (!most || source.total > most.total) most = source;
  return most?.first;
}

/** Whom an address belongs to: an IPv4 address to one host, an IPv6 address to whoever has its /64 network. */
export function sourceOf(address = ''): string {
  if (!address.includes(':')) return address;
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (v4) return v4;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined || before.length >= 4) return before.slice(0, 4).join(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
