import { Command } from 'commander';
import { DEFAULTS_ENABLED, DEFAULTS_LABEL, FEATURES } from '../contract/annotations.ts';
import { printable } from '../contract/text.ts';
import { lint, type Policy, type Rule } from '../policy/index.ts';
import { colorsFor } from './color.ts';
import { fail } from './fail.ts';
import { type NamedPolicy, readPolicy } from './read-policy.ts';

const EXAMPLE = `
Example:
  $ hotmount policy check policy.yaml
  policy.yaml:9:15: rules[0].allow.media[0]: there is no media class "usbb"; …
    9 |       media: [usbb]
      |               ^

FILE is the policy, or the manifest of a ConfigMap that holds it under
policy.yaml:
  $ kubectl get configmap hotmount-policy -o yaml | hotmount policy check -

Exit codes: 0 the policy is valid, also with warnings; 2 it is not, or cannot be
read.
`;

/** `hotmount policy check [FILE]` */
export function policyCommand(): Command {
  const policy = new Command('policy')
    .description('work with the policy: who may ask for what')
    .addHelpText('after', EXAMPLE);
  policy
    .command('check')
    .description('check a policy and say what it amounts to; without FILE, the built-in one')
    .argument('[FILE]', 'the policy; "-" is stdin')
    .addHelpText('after', EXAMPLE)
    .action(async (file: string | undefined, _flags: unknown, command: Command) => {
      try {
        const named = await readPolicy(file);
        // What the built-in one leaves open is for policies to say.
        process.stdout.write(describe(named, file === undefined ? [] : lint(named.policy)));
      } catch (error) {
        await fail(command, error);
      }
    });
  return policy;
}

function describe({ name, policy }: NamedPolicy, remarks: readonly string[]): string {
  const colors = colorsFor(process.stdout);
  const warnings = remarks.map((warning) => `${colors.yellow('warning:')} ${printable(warning)}\n`);
  return `${colors.green(`${printable(name)} is valid`)}\n${summarize(policy)}${warnings.join('')}`;
}

function summarize(policy: Policy): string {
  const names = (items: readonly { name: string }[]) => items.map(({ name }) => name).join(', ') || 'none';
  const rows = [
    ['onViolation', policy.onViolation],
    ['onConflict', policy.onConflict],
    ['scheduleBy', policy.scheduleBy],
    ['lxcfs views', policy.lxcfs.views.join(', ')],
    ['media classes', names(policy.mediaClasses)],
    ['device classes', names(policy.deviceClasses)],
    ...policy.rules.map((rule) => [`rule ${rule.name}`, describeRule(rule)]),
    ...(policy.rules.length === 0 ? [['rules', 'none: nothing is allowed']] : []),
  ] as const;
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, value]) => `  ${key.padEnd(width)}  ${printable(value)}\n`).join('');
}

function describeRule(rule: Rule): string {
  const labels = (globs: NonNullable<Rule['podLabels']>) =>
    Object.entries(globs).map(([key, values]) => `${key}=${values.join('|')}`);
  const conditions = [
    `namespaces ${rule.namespaces.join(', ')}`,
    rule.namespaceLabels && `labelled ${labels(rule.namespaceLabels).join(', ')}`,
    rule.serviceAccounts && `service accounts ${rule.serviceAccounts.join(', ')}`,
    rule.podLabels && `pods labelled ${labels(rule.podLabels).join(', ')}`,
    rule.runtimeClasses && `runtime classes ${rule.runtimeClasses.join(', ')}`,
  ];
  const allowed = FEATURES.flatMap((feature) => {
    const what = rule.allow[feature];
    if (typeof what === 'boolean') return what ? [feature] : [];
    return what.length > 0 ? [`${feature} ${what.join(', ')}`] : [];
  });
  const defaults = FEATURES.flatMap((feature) => {
    const value = rule.defaults[feature];
    return value === undefined ? [] : [`${feature}=${JSON.stringify(value)}`];
  });
  return [
    conditions.filter(Boolean).join('; '),
    `allows ${allowed.join('; ') || 'nothing'}`,
    ...(defaults.length > 0
      ? [
          `${rule.enforce ? 'enforces' : 'defaults'} ${defaults.join(' ')} (in namespaces labelled ${DEFAULTS_LABEL}=${DEFAULTS_ENABLED} alone)`,
        ]
      : []),
  ].join(' | ');
}
