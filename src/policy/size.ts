const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** A size as Kubernetes writes quantities; for JSON Schema, so without look-around. */
export const SIZE_PATTERN = '^[0-9]{1,16}(\\.[0-9]{1,9})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$';
const SIZE = new RegExp(SIZE_PATTERN);
export const SIZE_EXPECTED = 'bytes, or a number with k, M, G, T, P, Ki, Mi, Gi, Ti or Pi, such as "64Mi"';

/** Bytes, rounded; undefined where it is no size, or too large to count exactly (2^53). */
export function parseSize(size: unknown): number | undefined {
  const bytes = typeof size === 'string' ? fromText(size) : size;
  return Number.isSafeInteger(bytes) && (bytes as number) >= 0 ? (bytes as number) : undefined;
}

function fromText(size: string): number | undefined {
  const match = SIZE.exec(size);
  return match === null ? undefined : Math.round(Number.parseFloat(size) * (UNITS[match[2] ?? ''] ?? Number.NaN));
}
