import { DEFAULTS_ENABLED, DEFAULTS_LABEL, FEATURES, type Feature, PREFIX } from '../contract/annotations.ts';
import type { Labels } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import type { Request, Setting } from '../contract/request.ts';
import { didYouMeanOr, quote } from '../contract/suggest.ts';
import { LXCFS_VIEW_NAMES, parseValue, type Want } from '../contract/wants.ts';
import type { Policy, Rule } from '../policy/index.ts';
import type { Container } from './containers.ts';

/** One want for one container, and where it comes from. */
export interface Ask {
  readonly container: Container;
  readonly want: Want;
  readonly annotation: string;
  /** The rule whose default it is; undefined: the user asked. */
  readonly defaultOf: string | undefined;
}

export interface Intent {
  readonly asks: readonly Ask[];
  readonly findings: readonly Finding[];
}

/**
 * What each container is to get, if it may. For one feature of one container, the first of these counts:
 *
 *   1. the default of a rule with `enforce: true`
 *   2. nothing, with `inject: "false"`
 *   3. the override `hotmount.io/<feature>.<container>`
 *   4. `hotmount.io/<feature>`, for the containers selected
 *   5. the default of the first rule that has one, for the containers selected
 *
 * An enforced default reaches all regular containers and sidecars, whatever `hotmount.io/containers` selects. The alias of a udevd that
 * the user asks for stays, beside an enforced one.
 */
export function intentOf(
  request: Request,
  containers: readonly Container[],
  defaults: Defaults,
  policy: Policy,
): Intent {
  const selected = select(request, containers);
  const asked: Ask[] = [];
  const enforced: Ask[] = [];
  const normal: Ask[] = [];
  for (const container of containers) {
    for (const feature of FEATURES) {
      const setting = settingFor(feature, container, request, selected, defaults);
      if (!setting) continue;
      const { annotation, defaultOf } = setting;
      if (feature === 'dev') asked.push(...aliasOfOwnUdevd(container, request, selected, defaults));
      const asks = defaultOf === undefined ? asked : setting === defaults.enforced.get(feature) ? enforced : normal;
      // Defaults that are more than can be given need not be counted to the end. What the user asks is, whoever else has too many.
      if (asks !== asked && asks.length > MAX_ASKS) continue;
      for (const want of perView(setting, policy)) asks.push({ container, want, annotation, defaultOf });
    }
    if (asked.length > MAX_ASKS) return tooMuchAsked(request);
  }
  const kept = enforced.length <= MAX_ASKS ? enforced : [];
  if (asked.length + kept.length > MAX_ASKS) return tooMuchAsked(request);
  const rest = asked.length + kept.length + normal.length <= MAX_ASKS ? normal : [];
  return {
    asks: inOrder(asked, [...kept, ...rest]),
    findings: [
      ...(request.inject ? request.findings : []),
      ...(request.inject ? containersNotFound(request, containers) : []),
      ...optOutsEnforced(request, defaults),
      ...(kept === enforced ? [] : tooManyDefaults(enforced)),
      ...(rest === normal ? [] : tooManyDefaults(normal)),
    ],
  };
}

const tooMuchAsked = ({ findings }: Request): Intent => ({
  asks: [],
  findings: [...findings, finding('too_much_asked', { limit: String(MAX_ASKS) })],
});

/** The API server sends pods of several megabytes; what one can cost us has a bound all the same. */
const MAX_ASKS = 2000;

/**
 * What the user asked comes before defaults, which must not take its place; privileges come before all else, as they take nobody's
 * place and other features build on them.
 */
function inOrder(asked: readonly Ask[], byDefault: readonly Ask[]): readonly Ask[] {
  const isPrivilege = ({ want }: Ask) => want.feature === 'privileged' || want.feature === 'capabilities';
  const isOther = (ask: Ask) => !isPrivilege(ask);
  return byDefault.length === 0
    ? asked
    : [
        ...asked.filter(isPrivilege),
        ...byDefault.filter(isPrivilege),
        ...asked.filter(isOther),
        ...byDefault.filter(isOther),
      ];
}

function tooManyDefaults(asks: readonly Ask[]): readonly Finding[] {
  const rules = new Set(asks.flatMap(({ defaultOf }) => defaultOf ?? []));
  const why = `with them the pod would have more than ${MAX_ASKS} things, counted once for each container`;
  return [...rules].map((rule) => finding('default_skipped', { annotation: 'hotmount.io/*', rule, why }));
}

/** The defaults that reach a pod. */
export interface Defaults {
  readonly enforced: ReadonlyMap<Feature, Default>;
  readonly normal: ReadonlyMap<Feature, Default>;
}
interface Default extends Setting {
  readonly defaultOf: string;
}

/** The defaults of the rules that match a pod; none in a namespace that its admin has not labelled for them. */
export function defaultsOf(rules: readonly Rule[], namespaceLabels: Labels): Defaults {
  const enforced = new Map<Feature, Default>();
  const normal = new Map<Feature, Default>();
  if (namespaceLabels[DEFAULTS_LABEL] !== DEFAULTS_ENABLED) return { enforced, normal };
  for (const rule of rules) {
    const target = rule.enforce ? enforced : normal;
    for (const [feature, value] of Object.entries(rule.defaults) as [Feature, string][]) {
      const parsed = parseValue(feature, value);
      if (target.has(feature) || 'problem' in parsed) continue;
      target.set(feature, { annotation: PREFIX + feature, value, wants: parsed.wants, defaultOf: rule.name });
    }
  }
  return { enforced, normal };
}

function settingFor(
  feature: Feature,
  container: Container,
  request: Request,
  selected: ReadonlySet<Container>,
  defaults: Defaults,
): (Setting & Partial<Default>) | undefined {
  const enforced = container.kind !== 'init' ? defaults.enforced.get(feature) : undefined;
  if (enforced) return enforced;
  if (!request.inject) return undefined;
  const own = ownSetting(feature, container, request, selected);
  return own ?? (selected.has(container) ? defaults.normal.get(feature) : undefined);
}

/** What the user says of a feature of a container. */
function ownSetting(
  feature: Feature,
  container: Container,
  request: Request,
  selected: ReadonlySet<Container>,
): Setting | undefined {
  const override = request.overrides.get(container.name)?.get(feature);
  return override ?? (selected.has(container) ? request.features.get(feature) : undefined);
}

/**
 * The user's own alias of /dev, where an enforced default would take its place under a udevd that the user asks for: the default may
 * turn out not to be had, and udevd would be left with a path that the user never chose.
 */
function aliasOfOwnUdevd(
  container: Container,
  request: Request,
  selected: ReadonlySet<Container>,
  defaults: Defaults,
): readonly Ask[] {
  const enforced = container.kind !== 'init' ? defaults.enforced.get('dev') : undefined;
  if (!enforced || !request.inject || defaults.enforced.has('uevents')) return [];
  const uevents = ownSetting('uevents', container, request, selected)?.wants ?? [];
  if (!uevents.some((want) => want.feature === 'uevents' && want.access === 'udevd')) return [];
  const own = ownSetting('dev', container, request, selected);
  if (!own || JSON.stringify(own.wants) === JSON.stringify(enforced.wants)) return [];
  return own.wants.map((want) => ({ container, want, annotation: own.annotation, defaultOf: undefined }));
}

function select(request: Request, containers: readonly Container[]): ReadonlySet<Container> {
  const names = request.containers;
  if (names === undefined) return new Set(containers.filter(({ kind }) => kind !== 'init'));
  return new Set(names.includes('*') ? containers : containers.filter(({ name }) => names.includes(name)));
}

/** The first ten: each costs a comparison with every name in the pod. */
function containersNotFound(request: Request, containers: readonly Container[]): Finding[] {
  const names = containers.map(({ name }) => name);
  const known = new Set(['*', ...names]);
  const named = [
    ...(request.containers ?? []).map((name) => ({ name, annotation: `${PREFIX}containers` })),
    ...[...request.overrides].flatMap(([name, settings]) =>
      [...settings.values()].map(({ annotation }) => ({ name, annotation })),
    ),
  ];
  return named
    .filter(({ name }) => !known.has(name))
    .slice(0, 10)
    .map(({ name, annotation }) =>
      finding('container_not_found', { annotation, container: quote(name), hint: didYouMeanOr(name, names) }),
    );
}

/** One warning for each enforced default that the pod's own annotations contradict. */
function optOutsEnforced(request: Request, defaults: Defaults): Finding[] {
  return [...defaults.enforced].flatMap(([feature, enforced]) => {
    const own = [request.features, ...request.overrides.values()].flatMap((settings) => settings.get(feature) ?? []);
    const same = JSON.stringify(enforced.wants);
    const contradicted = !request.inject || own.some(({ wants }) => JSON.stringify(wants) !== same);
    return contradicted
      ? finding('opt_out_enforced', { rule: enforced.defaultOf, annotation: `${PREFIX}${feature}` })
      : [];
  });
}

/** Each view is decided and applied by itself: one that a default cannot cover leaves the others in place. */
function perView({ wants }: Setting, policy: Policy): readonly Want[] {
  return wants.flatMap((want): Want | readonly Want[] => {
    if (want.feature !== 'lxcfs') return want;
    const views = want.views ?? policy.lxcfs.views;
    return ONE_VIEW_EACH.filter(({ views: [view] }) => view !== undefined && views.includes(view));
  });
}

const ONE_VIEW_EACH = LXCFS_VIEW_NAMES.map((view) => ({ feature: 'lxcfs', views: [view] }) as const);
