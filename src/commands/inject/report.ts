import { REASONS } from '../../contract/reasons.ts';
import { printable } from '../../contract/text.ts';
import type { Entry } from '../../injection/index.ts';
import type { Paint } from './diff.ts';
import type { Evaluated, Remark, Verdict } from './evaluate.ts';
import { titleOf } from './output.ts';

/**
 * For the person: warnings, denials and notes, a line each, and how many objects were denied. Explained: also, a table for each container
 * of what it has through hotmount and by which rule.
 */
export function renderReport(evaluated: readonly Evaluated[], explained: boolean, paint: Paint): string {
  const verdicts = evaluated.flatMap((one) => one.verdicts);
  const lines = verdicts.flatMap((verdict) => {
    const remarks = verdict.remarks.map((remark) => remarkLine(verdict, remark, paint));
    return explained && isCovered(verdict) ? [...explanation(verdict, paint), ...remarks, ''] : remarks;
  });
  const denied = verdicts.filter(isDenied).length;
  if (denied > 0) {
    const objects = denied === 1 ? '1 object would be denied and is' : `${denied} objects would be denied and are`;
    lines.push(`hotmount inject: ${objects} left as ${denied === 1 ? 'it' : 'they'} came`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Whether an API server would refuse it. */
export const isDenied = ({ remarks }: Verdict): boolean => remarks.some(({ severity }) => severity === 'denied');

const isCovered = ({ summary }: Verdict): boolean => summary.outcome !== 'unexpected_kind';

function remarkLine(verdict: Verdict, { severity, place, message }: Remark, paint: Paint): string {
  const color = { denied: paint.red, warning: paint.yellow, note: paint.cyan }[severity];
  return `${printable(place)}: ${color(`${severity}:`)} ${titleOf(verdict)}: ${printable(message)}`;
}

function explanation(verdict: Verdict, paint: Paint): string[] {
  const { entries, outcome } = verdict.summary;
  const title = paint.bold(titleOf(verdict));
  if (isDenied(verdict)) return [title, '  refused:'];
  if (entries.length === 0) return [title, `  nothing added: ${REASONS[outcome].sentence}`];
  const containers = [...Map.groupBy(entries, ({ container }) => container)];
  return [
    title,
    ...containers.flatMap(([name, own]) => [
      `  ${name ? `container ${printable(name)}` : 'pod'}`,
      ...table(own).map((row) => `    ${row}`),
    ]),
  ];
}

/** What came by the same rule for the same feature shares a row, as in the annotation. */
function table(entries: readonly Entry[]): string[] {
  const groups = Map.groupBy(entries, ({ feature, rule }) => `${feature} ${rule}`);
  const rows = [...groups.values()].map((group) => [
    group[0]?.feature ?? '',
    group.map(({ item }) => item).join(','),
    group[0]?.rule ?? '',
  ]);
  const cells = [['FEATURE', 'ADDED', 'RULE'], ...rows];
  const widths = [0, 1].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => printable(row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')).trimEnd());
}
