import type { Feature } from '../contract/annotations.ts';
import type { JsonObject } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { cautionsOf } from './cautions.ts';
import type { Container } from './containers.ts';
import { type Circumstances, decide } from './decision.ts';
import { applyWant, Conflict, describeWant, type Exposure, exposuresOf } from './features/index.ts';
import type { Ask } from './intent.ts';

/** One thing that one container has through hotmount. */
export interface Entry {
  readonly container: string;
  readonly feature: Feature;
  /** As the annotation's own grammar writes it. */
  readonly item: string;
  readonly rule: string;
}

export interface Granted {
  readonly pod: JsonObject;
  readonly entries: readonly Entry[];
  readonly exposures: readonly Exposure[];
  readonly findings: readonly Finding[];
}

/** Gives one ask after the other, each as a whole or not at all. A default that the pod cannot have is skipped, whatever the reason. */
export function grant(asks: readonly Ask[], circumstances: Circumstances): Granted {
  const { draft } = circumstances;
  const entries: Entry[] = [];
  const exposures: Exposure[] = [];
  const findings: Finding[] = [];
  const mayNotBePrivileged = new Set<Container>();
  for (const ask of asks) {
    const given = give(ask, asks, circumstances);
    if ('refusal' in given) {
      const { reason } = given.refusal;
      if (reason === 'privileged_not_allowed') mayNotBePrivileged.add(ask.container);
      const falls = reason === 'bidirectional_needs_privileged' && mayNotBePrivileged.has(ask.container);
      const refusal = falls ? bidirectionalNotAllowed(ask) : given.refusal;
      findings.push(ask.defaultOf === undefined ? refusal : skipped(ask.annotation, ask.defaultOf, refusal));
      continue;
    }
    const { container, want } = ask;
    findings.push(...given.cautions);
    exposures.push(...exposuresOf(want, draft));
    entries.push({ container: container.name, feature: want.feature, item: describeWant(want), rule: given.rule });
  }
  return { pod: draft.build(), entries, exposures, findings };
}

/** What is given, by which rule, with what the user should know of it; or why it is not. */
type Given = { readonly rule: string; readonly cautions: readonly Finding[] } | { readonly refusal: Finding };

function give(ask: Ask, asks: readonly Ask[], circumstances: Circumstances): Given {
  const decision = decide(ask, circumstances);
  if ('refusal' in decision) return decision;
  const cautions = cautionsOf(ask, circumstances.draft.spec, circumstances.policy);
  const useless = cautions.find(({ isUseless }) => isUseless);
  if (useless && ask.defaultOf !== undefined) return { refusal: useless.finding };
  try {
    const devPath = ask.want.feature === 'uevents' ? devPathFor(ask, asks, circumstances) : undefined;
    applyWant(circumstances.draft, ask.container, ask.want, { annotation: ask.annotation, devPath });
    return { ...decision, cautions: cautions.map((caution) => caution.finding) };
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    const kept = circumstances.policy.onConflict === 'keep' ? error.kept : undefined;
    return { refusal: kept ?? error.finding };
  }
}

/**
 * The alias path of /dev that the container asks for besides. It goes by the asks and not by the draft, which is another in a second
 * pass; and not by a default where the user asks, who would be denied where the default's path is taken.
 */
function devPathFor(ask: Ask, asks: readonly Ask[], circumstances: Circumstances): string | undefined {
  for (const other of asks) {
    if (other.want.feature !== 'dev' || other.container !== ask.container) continue;
    if (ask.defaultOf === undefined && other.defaultOf !== undefined) continue;
    if ('rule' in decide(other, circumstances)) return other.want.path;
  }
  return undefined;
}

/** What the policy refuses takes along what depends on it, as a refusal: under onViolation warn, the pod is admitted without both. */
const bidirectionalNotAllowed = ({ annotation, container, want }: Ask): Finding =>
  finding('bidirectional_not_allowed', {
    annotation,
    container: container.name,
    volume: want.feature === 'propagation' ? want.volume : '',
  });

const skipped = (annotation: string, rule: string, { cause }: Finding): Finding =>
  finding('default_skipped', { annotation, rule, why: cause });
