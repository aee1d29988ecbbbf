import { FEATURES } from '../contract/annotations.ts';
import { ALL_CAPABILITIES } from '../contract/capabilities.ts';
import { quote } from '../contract/suggest.ts';
import { hasDefaults } from './evaluate.ts';
import { isExclusion, literalOf, matchesGlobs } from './globs.ts';
import { hardwareDoubts } from './lint-hardware.ts';
import { nameDoubts } from './lint-names.ts';
import { FILE_SYSTEM_NAMES, ignoredBy } from './mount-options.ts';
import type { Allow, DeviceClass, MediaClass, Policy, Rule } from './policy.ts';

/** What is valid in a policy and yet hardly what its author meant, a sentence each. */
export function lint(policy: Policy): readonly string[] {
  return [
    ...policy.mediaClasses.flatMap(lintMediaClass),
    ...policy.deviceClasses.flatMap(lintDeviceClass),
    ...unusedClasses(policy),
    ...policy.rules.flatMap((rule, index) => [
      ...lintRule(rule),
      ...policy.rules.slice(0, index).flatMap((earlier) => shadowed(rule, earlier)),
    ]),
  ];
}

/** The names of the rules that turn on the labels of namespaces: by a condition of their own, or as defaults reach only some. */
export const rulesOnNamespaceLabels = ({ rules }: Policy): readonly string[] =>
  rules.filter((rule) => rule.namespaceLabels !== undefined || hasDefaults(rule)).map(({ name }) => name);

function unusedClasses({ mediaClasses, deviceClasses, rules }: Policy): readonly string[] {
  const unused = (what: string, key: 'media' | 'devices', classes: readonly { name: string }[]) =>
    classes
      .filter(({ name }) => !rules.some(({ allow }) => allow[key].includes(name)))
      .map(({ name }) => `${what} class ${quote(name)}: no rule allows it`);
  return [...unused('media', 'media', mediaClasses), ...unused('device', 'devices', deviceClasses)];
}

function lintMediaClass({ name, match, mount }: MediaClass): readonly string[] {
  // A class that names no file systems means whatever comes, and its options for those that have them.
  const named = match.every(({ fsType }) => fsType !== undefined);
  const fsTypes = FILE_SYSTEM_NAMES.filter((name) => named && match.some((m) => matchesGlobs(m.fsType ?? [], name)));
  const options = mount.options.flatMap((option) => {
    const without = ignoredBy(option, fsTypes);
    return without.length === 0 ? [] : [`the mount option ${quote(option)} does nothing for ${without.join(', ')}`];
  });
  return [...hardwareDoubts(match), ...options].map((message) => `media class ${quote(name)}: ${message}`);
}

const lintDeviceClass = ({ name, match }: DeviceClass): readonly string[] =>
  hardwareDoubts(match).map((message) => `device class ${quote(name)}: ${message}`);

function lintRule(rule: Rule): readonly string[] {
  const messages = [...nameDoubts(rule)];
  if (matchesNone(rule.namespaces))
    messages.push('its namespaces exclude all that they name, so that it never applies');
  if (!hasDefaults(rule) && isSubset(rule.allow, NOTHING)) messages.push('it allows nothing and sets no default');
  if (!hasDefaults(rule) && rule.enforce) messages.push('enforce: true does nothing without defaults');
  const power = rootOnTheNode(rule.allow);
  if (power !== undefined && rule.namespaces.includes('*') && !isNarrowed(rule)) {
    const where = rule.namespaces.some(isExclusion) ? 'all namespaces but a few' : 'every namespace';
    messages.push(`it allows ${power}, which is root on the node, in ${where}`);
  } else if (power !== undefined && rule.podLabels && !rule.namespaceLabels && !rule.serviceAccounts) {
    messages.push(`it allows ${power} by pod labels, which users choose for themselves: they are no boundary`);
  }
  return messages.map((message) => `rule ${quote(rule.name)}: ${message}`);
}

const isNarrowed = (rule: Rule): boolean =>
  Boolean(rule.namespaceLabels ?? rule.serviceAccounts ?? rule.podLabels ?? rule.runtimeClasses);

const ROOT_CAPABILITIES = [ALL_CAPABILITIES, 'SYS_ADMIN', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_BOOT', 'BPF'];
const rootOnTheNode = (allow: Allow): string | undefined =>
  allow.privileged ? 'privileged' : allow.capabilities.find((capability) => ROOT_CAPABILITIES.includes(capability));

/** Only where it is plain: each glob is excluded word for word, or is a literal that an exclusion matches. */
function matchesNone(globs: readonly string[]): boolean {
  return globs
    .filter((glob) => !isExclusion(glob))
    .concat(globs.every(isExclusion) ? ['*'] : [])
    .every((glob) => {
      const literal = literalOf(glob);
      return (
        globs.includes(`!${glob}`) || globs.includes('!*') || (literal !== undefined && !matchesGlobs(globs, literal))
      );
    });
}

/** What of a rule comes to nothing because an earlier one applies wherever it does. */
function shadowed(rule: Rule, earlier: Rule): readonly string[] {
  if (!isAtLeastAsWide(earlier, rule)) return [];
  // Enforced defaults come before all others; among their like, the first counts.
  const yields = earlier.enforce || !rule.enforce;
  const lost = FEATURES.filter(
    (key) => yields && rule.defaults[key] !== undefined && earlier.defaults[key] !== undefined,
  );
  const messages = lost.map((key) => `its default for ${key} is never used: rule ${quote(earlier.name)} sets it first`);
  const setsOwn = FEATURES.some((key) => rule.defaults[key] !== undefined && !lost.includes(key));
  if (!setsOwn && isSubset(rule.allow, earlier.allow) && !isSubset(rule.allow, NOTHING)) {
    messages.push(`it allows nothing that rule ${quote(earlier.name)} does not allow already wherever it applies`);
  }
  return messages.map((message) => `rule ${quote(rule.name)}: ${message}`);
}

function isAtLeastAsWide(wide: Rule, narrow: Rule): boolean {
  const everything = (globs: readonly string[] | undefined) =>
    globs === undefined || (globs.includes('*') && !globs.some(isExclusion));
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  return (
    (everything(wide.namespaces) || same(wide.namespaces, narrow.namespaces)) &&
    (everything(wide.serviceAccounts) || same(wide.serviceAccounts, narrow.serviceAccounts)) &&
    (everything(wide.runtimeClasses) || same(wide.runtimeClasses, narrow.runtimeClasses)) &&
    (wide.namespaceLabels === undefined || same(wide.namespaceLabels, narrow.namespaceLabels)) &&
    (wide.podLabels === undefined || same(wide.podLabels, narrow.podLabels))
  );
}

const NOTHING: Allow = {
  lxcfs: false,
  privileged: false,
  live: false,
  media: [],
  devices: [],
  dev: [],
  propagation: [],
  capabilities: [],
  uevents: [],
};

const isSubset = (part: Allow, whole: Allow): boolean =>
  (Object.keys(NOTHING) as (keyof Allow)[]).every((key) => {
    const [some, all] = [part[key], whole[key]];
    return typeof some === 'boolean'
      ? !some || all === true
      : some.every((item) => (all as readonly string[]).includes(item));
  });
