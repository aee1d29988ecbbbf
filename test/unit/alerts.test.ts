import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { describeUnless } from '../describe-unless.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: object;
}

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const rules = parse(
  read('charts/hotmount/files/alerts.yaml').replaceAll('{{ .Release.Namespace }}', 'hotmount-system'),
);
const alerts: readonly Rule[] = rules.groups[0].rules;
const metrics = new Set(
  globSync('src/**/*.ts', { cwd: ROOT }).flatMap((file) => read(file).match(/\bhotmount_\w+/g) ?? []),
);
const metricsIn = (text: string): string[] => text.match(/\bhotmount_\w+/g) ?? [];
const base = (metric: string): string => metric.replace(/_(?:bucket|sum|count)$/, '');

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

describeUnless(hasPromtool ? undefined : 'promtool is missing (Debian package prometheus)', 'the alerts', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hotmount-alerts-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('are raised when they should be, and not before', () => {
    // What they say to people is theirs to change.
    const bare = { groups: [{ name: 'hotmount', rules: alerts.map(({ annotations: _, ...rule }) => rule) }] };
    writeFileSync(join(directory, 'alerts.yaml'), stringify(bare));
    writeFileSync(join(directory, 'test.yaml'), read('test/unit/alerts.test.yaml'));
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'test.yaml'], {
      cwd: directory,
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).toBe(0);
  });

  it('are all tried, raised and not', () => {
    const tested = parse(read('test/unit/alerts.test.yaml')).tests.flatMap(
      ({ alert_rule_test: tries }: { alert_rule_test: { alertname: string; exp_alerts?: unknown }[] }) => tries,
    );
    for (const { alert } of alerts) {
      const own = tested.filter(({ alertname }: { alertname: string }) => alertname === alert);
      expect(
        own.some(({ exp_alerts }: { exp_alerts?: unknown }) => exp_alerts),
        alert,
      ).toBe(true);
      expect(
        own.some(({ exp_alerts }: { exp_alerts?: unknown }) => !exp_alerts),
        alert,
      ).toBe(true);
    }
  });

  it('and the dashboard go by metrics that there are', () => {
    const used = [
      ...alerts.flatMap(({ expr }) => metricsIn(expr)),
      ...metricsIn(read('charts/hotmount/files/dashboard.json')),
    ];
    expect(used.filter((metric) => !metrics.has(base(metric)))).toEqual([]);
  });
});
