import type { Colors } from 'picocolors/types.ts';
import { printable } from '../../contract/text.ts';
import { fold } from '../table.ts';
import { driverIsThere, podSecurity, registered, samePolicy } from './checks/cluster.ts';
import type { CheckFinding, Facts } from './checks/finding.ts';
import { daemonsAnswer, disksAreSound, kernels, livePods, lxcfsServes, resourcesCounted } from './checks/nodes.ts';
import { caIsKnown, webhookAnswers, webhookRuns } from './checks/webhook.ts';

/** What `kubectl hotmount check -o json` prints. Fields may be added; those that are here stay. */
export interface CheckReport {
  readonly apiVersion: 'hotmount.io/v1alpha1';
  readonly kind: 'CheckReport';
  readonly findings: readonly CheckFinding[];
}

/** Judges an installation: each finding that is not ok says what to do. */
export const judge = (facts: Facts): CheckFinding[] =>
  [
    webhookRuns,
    webhookAnswers,
    caIsKnown,
    driverIsThere,
    daemonsAnswer,
    registered,
    samePolicy,
    lxcfsServes,
    resourcesCounted,
    livePods,
    disksAreSound,
    kernels,
    podSecurity,
  ].flatMap((check) => check(facts));

/** Exit code 1 goes with one of these. */
export const isBad = ({ severity }: CheckFinding): boolean => severity === 'error';

/** The report for people, a finding and its remedy below each other. @param look the width in columns: 100 by default */
export function formatCheck(
  { findings }: CheckReport,
  { width = 100, colors }: { width: number | undefined; colors: Colors },
): string {
  const marks = {
    ok: colors.green('ok'),
    warning: colors.yellow('warning'),
    error: colors.red('ERROR'),
    unknown: colors.cyan('unknown'),
  };
  const lines = findings.flatMap(({ severity, check, message, remedy }) => {
    const [first = '', ...more] = fold(printable(`${check}: ${message}`), width - 10);
    const pad = ' '.repeat(9 - severity.length);
    return [
      `${marks[severity]}${pad}${first}`,
      ...more.map((line) => `${' '.repeat(9)}${line}`),
      ...(remedy === undefined
        ? []
        : fold(printable(`→ ${remedy}`), width - 12).map((line, i) => `${' '.repeat(i === 0 ? 9 : 11)}${line}`)),
    ];
  });
  return lines.map((line) => `${line}\n`).join('');
}
