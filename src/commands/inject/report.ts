import { printable } from '../../contract/text.ts';
import type { Entry } from '../../injection/index.ts';
import type { Paint } from './diff.ts';
import type { Evaluated, Remark, Verdict } from './evaluate.ts';
import { titleOf } from './output.ts';

export interface ReportOptions {
  /** Also a table for each container of what it has through hotmount and by which rule. */
  readonly explained: boolean;
  /** One JSON object a line, for programs, instead of text for people. */
  readonly json?: boolean;
  /** What cannot be read is not in the output either. */
  readonly leavesOut: boolean;
  readonly paint: Paint;
}

/**
 * For the person: errors, denials, warnings and notes, a line each, as they come, and how many there were at the end. That a namespace's
 * Pod Security level rejects its pods is said once a namespace, unless explained.
 */
export class Report {
  /** Files and documents that could not be read or converted, and objects that Kubernetes would not take. */
  errors = 0;
  /** Objects that would not be admitted, or the pods of them. */
  denied = 0;
  #unopened = 0;
  readonly #options: ReportOptions;
  readonly #rejected = new Map<
    string,
    { readonly first: Verdict; readonly remark: Remark; last: Verdict; count: number }
  >();

  constructor(options: ReportOptions) {
    this.#options = options;
  }

  /** What there is to say of a document that cannot be read or converted. Each problem begins with its place. */
  problems(problems: readonly string[]): string {
    this.errors += problems.length;
    if (this.#options.json) return problems.map((message) => jsonLine('InjectProblem', { message })).join('');
    return problems.map((problem) => `${printable(problem)}\n`).join('');
  }

  /** What there is to say of a file of which nothing could be read. */
  unopened(problem: string): string {
    this.#unopened += 1;
    return this.problems([problem]);
  }

  /** What there is to say of a file that has no objects: a pipe may have lost them. */
  noObjects(file: string): string {
    if (this.#options.json) return '';
    const message = 'no Kubernetes objects in it: it goes through as it is';
    return remarkLine({ severity: 'note', place: file, message }, undefined, this.#options.paint);
  }

  evaluated({ verdicts, problems }: Evaluated): string {
    this.errors += problems.length;
    if (this.#options.json) {
      for (const verdict of verdicts) this.#count(verdict);
      const odd = problems.map(({ place, message }) => jsonLine('InjectProblem', { place, message }));
      return [...odd, ...verdicts.map(explanationLine)].join('');
    }
    const odd = problems.map((problem) => remarkLine(problem, undefined, this.#options.paint));
    return [...odd, ...verdicts.map((verdict) => this.#verdict(verdict))].join('');
  }

  #verdict(verdict: Verdict): string {
    const { explained, paint } = this.#options;
    this.#count(verdict);
    const told = explained ? verdict.remarks : verdict.remarks.filter((remark) => !this.#isForTheEnd(verdict, remark));
    const lines = told.map((remark) => remarkLine(remark, titleOf(verdict), paint)).join('');
    return explained && verdict.outcome !== undefined ? `${explanation(verdict, paint)}${lines}\n` : lines;
  }

  #count(verdict: Verdict): void {
    if (has(verdict, 'error')) this.errors += 1;
    if (has(verdict, 'denied')) this.denied += 1;
  }

  /** Where no level is known to be enforced, there is no end for it. */
  #isForTheEnd(verdict: Verdict, remark: Remark): boolean {
    if (remark.podSecurity?.isEnforced) {
      const { namespace } = verdict.identity;
      const rejected = this.#rejected.get(namespace) ?? { first: verdict, remark, last: verdict, count: 1 };
      if (rejected.last !== verdict) rejected.count += 1;
      rejected.last = verdict;
      this.#rejected.set(namespace, rejected);
    }
    return remark.podSecurity !== undefined;
  }

  end(): string {
    const { paint, json } = this.#options;
    if (json) return '';
    const rejected = [...this.#rejected.values()].map(({ first, remark, count }) => {
      const more = count > 1 ? ` and ${count - 1} more in its namespace` : '';
      return remarkLine(remark, titleOf(first) + more, paint);
    });
    return [...rejected, ...this.#sums().map((line) => `hotmount inject: ${line}\n`)].join('');
  }

  #sums(): string[] {
    const { errors, denied } = this;
    const sums: string[] = [];
    if (errors > 0) {
      const isLost = this.#options.leavesOut || errors === this.#unopened;
      const fate = isLost ? 'left out' : 'written as it came';
      const files = isLost || this.#unopened === 0 ? '' : ', and files that cannot be opened are left out';
      sums.push(`${errors === 1 ? '1 error' : `${errors} errors`}: what cannot be read is ${fate}${files}`);
    }
    if (denied > 0) {
      sums.push(
        denied === 1
          ? '1 object would be denied and is left as it came'
          : `${denied} objects would be denied and are left as they came`,
      );
    }
    return sums;
  }
}

const has = ({ remarks }: Verdict, severity: Remark['severity']): boolean =>
  remarks.some((remark) => remark.severity === severity);

function remarkLine({ severity, place, message }: Remark, title: string | undefined, paint: Paint): string {
  const color = { error: paint.red, denied: paint.red, warning: paint.yellow, note: paint.cyan }[severity];
  return `${printable(place)}: ${color(`${severity}:`)} ${title === undefined ? '' : `${title}: `}${printable(message)}\n`;
}

/** Fields may be added to a version; those that are there stay (docs/inject.md). */
const jsonLine = (kind: string, value: object): string =>
  `${JSON.stringify({ apiVersion: 'hotmount.io/v1alpha1', kind, ...value })}\n`;

const explanationLine = ({ identity, outcome, entries, remarks }: Verdict): string =>
  jsonLine('InjectExplanation', {
    object: identity,
    ...(outcome === undefined ? {} : { outcome }),
    gives: entries.map(({ container, feature, item, rule }) => ({ container, feature, item, rule })),
    remarks: remarks.map(({ severity, place, message }) => ({ severity, place, message })),
  });

function explanation(verdict: Verdict, paint: Paint): string {
  const { entries, outcome } = verdict;
  const lines = [paint.bold(titleOf(verdict))];
  if (has(verdict, 'error') || has(verdict, 'denied')) lines.push('  refused:');
  else if (entries.length === 0) lines.push(`  nothing added: ${printable(outcome ?? '')}`);
  for (const [name, own] of Map.groupBy(entries, ({ container }) => container)) {
    lines.push(`  ${name ? `container ${printable(name)}` : 'pod'}`, ...table(own).map((row) => `    ${row}`));
  }
  return lines.map((line) => `${line}\n`).join('');
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
