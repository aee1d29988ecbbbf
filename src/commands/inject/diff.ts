import { structuredPatch } from 'diff';
import type { JsonObject } from '../../contract/json.ts';
import { printableLines } from '../../contract/text.ts';
import { renderBlock } from './yaml.ts';

/** What colours a text for a terminal, or leaves it as it is; picocolors' `createColors` makes them. */
export type Paint = Readonly<Record<'bold' | 'cyan' | 'green' | 'red' | 'yellow', (text: string) => string>>;

/**
 * A unified diff of two objects as YAML, with `title` in its header: readable whatever they were written in. Empty where they are the
 * same.
 */
export function unifiedDiff(before: JsonObject, after: JsonObject, title: string, paint: Paint): string {
  if (before === after) return '';
  const { hunks } = structuredPatch('', '', renderBlock(before), renderBlock(after), '', '', { context: 3 });
  if (hunks.length === 0) return '';
  const lines = hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => [
    paint.cyan(`@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`),
    ...lines
      .map(printableLines)
      .map((line) => (line.startsWith('+') ? paint.green(line) : line.startsWith('-') ? paint.red(line) : line)),
  ]);
  return [paint.bold(`--- ${title}`), paint.bold(`+++ ${title} (injected)`), ...lines, ''].join('\n');
}
