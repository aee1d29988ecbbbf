import stringWidth from 'string-width';
import { printable } from '../contract/text.ts';
import type { NotMountedStatus } from '../node/status.ts';

export type Row = readonly string[];

/** Columns that the last cell of a row needs at least to stay on the row's line. */
const LEAST = 20;
const GAP = '  ';

/**
 * Lines of a table, its columns two spaces apart. Empty cells are dashes.
 * @param width of the terminal, in columns: the last cell of each row is then folded between words, beside the others, or where they leave
 * it no room below them. Undefined: a row is a line
 */
export function table(rows: readonly Row[], width = Number.POSITIVE_INFINITY): string[] {
  const clean = rows.map((row) => row.map((cell) => printable(cell) || '-'));
  const widths = clean[0]?.map((_, column) => Math.max(...clean.map((row) => stringWidth(row[column] ?? '')))) ?? [];
  const before = widths.slice(0, -1).reduce((sum, each) => sum + each + GAP.length, 0);
  return clean.flatMap((row) => {
    const head = row.slice(0, -1).map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell)));
    const last = row.at(-1) ?? '';
    if (before + stringWidth(last) <= width) return [[...head, last].join(GAP).trimEnd()];
    const longest = Math.max(...last.split(' ').map((word) => stringWidth(word)));
    if (width - before < Math.max(longest, LEAST)) {
      return [head.join(GAP).trimEnd(), ...fold(last, width - 4).map((line) => `    ${line}`)];
    }
    const [first = '', ...more] = fold(last, width - before);
    return [[...head, first].join(GAP), ...more.map((line) => ' '.repeat(before) + line)];
  });
}

/** A text in lines of at most `width` columns, broken between words, and within one that is longer than a line. */
export function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  const words = text.split(' ').flatMap((word) => pieces(word, width));
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && stringWidth(last) + 1 + stringWidth(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function pieces(word: string, width: number): string[] {
  if (stringWidth(word) <= width) return [word];
  const found = [''];
  for (const character of word) {
    const last = found.at(-1) ?? '';
    if (stringWidth(last + character) <= width) found[found.length - 1] = last + character;
    else found.push(character);
  }
  return found;
}

/** `119s`, `2m`, `3h`, `2d` */
export function ago(iso: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(iso)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

const NAMES_SHOWN = 4;

/** One row for all disks that are left alone for the same reason: a node has dozens of empty loop devices. */
export function alike(skipped: readonly NotMountedStatus[]): Row[] {
  const groups = Map.groupBy(skipped, ({ message }) => message);
  return [...groups.values()].map((group) => {
    const names = group.slice(0, NAMES_SHOWN).map(({ disk }) => disk);
    const more = group.length > NAMES_SHOWN ? ` and ${group.length - NAMES_SHOWN} more` : '';
    return [`${names.join(', ')}${more}`, group[0]?.reason ?? '', group[0]?.message ?? ''];
  });
}
