import { stringify } from 'yaml';

/** The terminal's width in columns; undefined where stdout is none. */
export const widthOf = ({ isTTY, columns }: { isTTY?: boolean; columns?: number }): number | undefined =>
  isTTY ? (columns ?? 80) : undefined;

/** As kubectl prints an object for `-o json` and `-o yaml`. */
export const asData = (value: object, format: 'json' | 'yaml'): string =>
  format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value);

/** One line on a terminal's stderr that says how far it is; `clear` takes it away. */
export function progress(stream: NodeJS.WriteStream): { show: (done: number, all: number) => void; clear: () => void } {
  if (!stream.isTTY || process.env['TERM'] === 'dumb') return { show: () => {}, clear: () => {} };
  return {
    show: (done, all) => void stream.write(`\r\u001b[K${done} of ${all} nodes have answered`),
    clear: () => void stream.write('\r\u001b[K'),
  };
}
