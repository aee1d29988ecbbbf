import { PREFIX } from '../../contract/annotations.ts';
import { type Finding, finding } from '../../contract/reasons.ts';
import { readRequest } from '../../contract/request.ts';
import { DEFAULT_LIVE_PATH, type Want } from '../../contract/wants.ts';
import {
  type Account,
  judgeLiveWant,
  judgeWant,
  type Policy,
  rulesByAccount,
  unknownClass,
} from '../../policy/index.ts';
import type { ReadAnnotations } from './annotations.ts';

/** What should be in a pod's live directory. */
export interface Desired {
  /** By place in it (`media/usb`): the directory of the run dir that is to be there (`media/usb`, or its twin, `media-ro/usb`). */
  readonly classes: ReadonlyMap<string, string>;
  /** What is not given, and why. */
  readonly refusals: readonly Finding[];
}

/** More are not told: the directory's room in the run dir is everybody's, and annotations may have thousands. */
const MAX_REFUSALS = 50;

const NOTHING: ReadonlyMap<string, string> = new Map();

/**
 * What a pod's annotations come to, by the webhook's own grammar and policy: whoever wrote them past the webhook gains nothing. Of
 * containers there is no word here: the directory is the pod's. Pure.
 * @param read undefined: the kubelet has not told them
 */
export function desire(read: ReadAnnotations | undefined, account: Account, policy: Policy): Desired {
  if (read === undefined) return { classes: NOTHING, refusals: [finding('live_annotations_awaited', {})] };
  if ('problem' in read) {
    return { classes: NOTHING, refusals: [finding('live_annotations_unreadable', { problem: read.problem })] };
  }
  const request = readRequest(read.annotations);
  if (!request.inject) return { classes: NOTHING, refusals: [] };
  const asks = [...request.features.values()].flatMap(({ annotation, wants }) =>
    wants.filter(isForLive).map((want) => ({ annotation, want })),
  );
  const notLive = refusalOfLive(account, policy);
  if (notLive && asks.length > 0) return { classes: NOTHING, refusals: [notLive] };

  const classes = new Map<string, string>();
  const refusals: Finding[] = [...request.findings];
  for (const { annotation, want } of asks) {
    const refusal = refusalOfClass(annotation, want, account, policy);
    if (refusal) refusals.push(refusal);
    else place(classes, want);
  }
  for (const settings of request.overrides.values()) {
    for (const { annotation, wants } of settings.values()) {
      if (wants.some(isForLive)) refusals.push(finding('live_for_one_container', { annotation }));
    }
  }
  return { classes, refusals: refusals.slice(0, MAX_REFUSALS) };
}

/** Its volume has been judged at admission, labels and all: a rule that may match has matched. */
function refusalOfLive(account: Account, policy: Policy): Finding | undefined {
  const { rules, subject } = rulesByAccount(policy, account);
  const want: Want = { feature: 'live', path: DEFAULT_LIVE_PATH };
  const verdict = judgeWant(policy, rules, subject, { annotation: `${PREFIX}live`, want, what: DEFAULT_LIVE_PATH });
  return 'refusal' in verdict ? verdict.refusal : undefined;
}

function refusalOfClass(annotation: string, want: LiveWant, account: Account, policy: Policy): Finding | undefined {
  const unknown = unknownClass(policy, { annotation, want });
  if (unknown) return unknown;
  const verdict = judgeLiveWant(policy, account, { annotation, want, what: want.class });
  return 'refusal' in verdict ? verdict.refusal : undefined;
}

type LiveWant = Extract<Want, { feature: 'media' | 'devices' }>;

const isForLive = (want: Want): want is LiveWant => want.feature === 'media' || want.feature === 'devices';

/** Where a class is asked for twice, the one that may be written to counts. */
function place(classes: Map<string, string>, want: LiveWant): void {
  const key = `${want.feature}/${want.class}`;
  if (want.feature === 'media' && want.readOnly) {
    if (!classes.has(key)) classes.set(key, `media-ro/${want.class}`);
  } else classes.set(key, key);
}
