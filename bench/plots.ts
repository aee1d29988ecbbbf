import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barChart, lineChart } from './plots/charts.ts';

/** `npm run bench -- plots`: draws two of docs/figures.md's rows, which say in which run they were measured. */
const ROOT = join(import.meta.dirname, '..');

interface Row {
  readonly hotmount: string;
  readonly other: string;
}

/** The row of a table that begins so. @throws Error where there is none */
function rowOf(figures: string, beginning: string): Row {
  const line = figures.split('\n').find((each) => each.startsWith(`| ${beginning}`));
  const [, , hotmount, other] = line?.split('|').map((cell) => cell.trim()) ?? [];
  if (hotmount === undefined || other === undefined) throw new Error(`docs/figures.md has no row ${beginning}`);
  return { hotmount, other };
}

/** `38, 1,927 ms` */
const numbersIn = (cell: string): number[] =>
  (cell.match(/\d[\d,]*(?:\.\d+)?(?=,? |$)/g) ?? []).map((number) => Number(number.replaceAll(',', '')));

/** The pictures, by their file names. */
export function drawPlots(figures: string): Readonly<Record<string, string>> {
  const plugged = rowOf(figures, 'disk plugged in until');
  const named = [...plugged.other.matchAll(/([a-z ]+?) ([\d.]+) ms/g)].map(([, name = '', ms]) => ({
    name: name.trim(),
    value: Number(ms),
  }));
  const killed = rowOf(figures, 'both lxcfs killed: until the last of');
  const containers = [1, 10, 50, 100];
  return {
    'plugged.svg': barChart({
      title: 'Disk plugged in until a running container can read it (ms)',
      bars: [{ name: 'hotmount', value: Number.parseFloat(plugged.hotmount) }, ...named],
    }),
    'killed.svg': lineChart({
      title: 'Both lxcfs killed: until the last container reads its limit again (ms)',
      xTitle: 'containers',
      x: containers,
      lines: [
        { name: 'hotmount', y: numbersIn(killed.hotmount) },
        { name: 'a script with nsenter', y: numbersIn(killed.other) },
      ],
    }),
  };
}

if (import.meta.main) {
  const figures = readFileSync(join(ROOT, 'docs/figures.md'), 'utf8');
  for (const [name, svg] of Object.entries(drawPlots(figures))) writeFileSync(join(ROOT, 'docs/images', name), svg);
  process.stdout.write('drew docs/images/plugged.svg and docs/images/killed.svg\n');
}
