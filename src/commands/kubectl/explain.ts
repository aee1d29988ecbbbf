import type { V1Pod } from '@kubernetes/client-node';
import type { Colors } from 'picocolors/types.ts';
import { PREFIX, STATUS } from '../../contract/annotations.ts';
import { isObject } from '../../contract/json.ts';
import { printable } from '../../contract/text.ts';
import type { NodeStatus } from '../../node/status.ts';
import { fold, type Row, table } from '../table.ts';
import { lxcfsState } from './cluster-status.ts';
import type { NodeReport } from './daemons.ts';

/** What `kubectl hotmount explain -o json` prints. Fields may be added; those that are here stay. */
export interface Explanation {
  readonly apiVersion: 'hotmount.io/v1alpha1';
  readonly kind: 'Explanation';
  /** `Pod shop/web` */
  readonly object: string;
  /** What the policy of now says to the object; undefined where the policy may not be read. */
  readonly underPolicy?: UnderPolicy;
  /** The object itself, or the pods of a workload. */
  readonly pods: readonly PodExplanation[];
}

export interface UnderPolicy {
  readonly gives: readonly {
    readonly container: string;
    readonly feature: string;
    readonly item: string;
    readonly rule: string;
  }[];
  readonly denied: readonly string[];
  readonly warnings: readonly string[];
}

export interface PodExplanation {
  /** `namespace/name` */
  readonly pod: string;
  readonly node?: string;
  readonly phase: string;
  /** Its own annotations that ask for something. */
  readonly asks: Readonly<Record<string, string>>;
  readonly rules: readonly string[];
  readonly has: readonly Had[];
  /** What was said when it was admitted, and what is wrong on its node. */
  readonly problems: readonly string[];
}

/** One thing that a container has through hotmount, and how it stands now. */
export interface Had {
  readonly container: string;
  readonly feature: string;
  readonly item: string;
  readonly now: string;
  /** False: it does not have it after all; undefined: that cannot be known. */
  readonly works?: boolean;
}

/** Explains one pod by what the webhook has written on it and what the daemon of its node says. */
export function explainPod(pod: V1Pod, report: NodeReport | undefined): PodExplanation {
  const { name = '', namespace = '', uid, annotations = {} } = pod.metadata ?? {};
  const status = readStatus(annotations[STATUS]);
  const node = pod.spec?.nodeName;
  const asks = Object.entries(annotations).filter(([key]) => key.startsWith(PREFIX) && key !== STATUS);
  const at = { pod: `${namespace}/${name}`, uid, node, report, running: pod.status?.phase === 'Running' };
  const has = Object.entries(status?.containers ?? {}).flatMap(([container, features]) =>
    Object.entries(features).flatMap(([feature, items]) =>
      items.split(',').map((item) => ({ container, feature, item, ...stateOf(feature, item, at) })),
    ),
  );
  const nothing =
    status === undefined && asks.length > 0
      ? [
          'it asks, and has nothing: hotmount was not asked when it was created (kubectl hotmount check). Delete it, so that it is created anew',
        ]
      : [];
  return {
    pod: at.pod,
    ...(node ? { node } : {}),
    phase: pod.status?.phase ?? 'Unknown',
    asks: Object.fromEntries(asks),
    rules: status?.rules ?? [],
    has,
    problems: [
      ...(status?.warnings ?? []),
      ...nothing,
      ...(livePod(report?.status, at)?.notGiven.map(({ message }) => message) ?? []),
      ...(report?.problem ? [`node ${node}: ${report.problem}`] : []),
    ],
  };
}

interface PodAt {
  readonly pod: string;
  readonly uid: string | undefined;
  readonly node: string | undefined;
  readonly report: NodeReport | undefined;
  readonly running: boolean;
}

function stateOf(feature: string, item: string, at: PodAt): Pick<Had, 'now' | 'works'> {
  if (at.node === undefined) return { now: 'on no node yet' };
  if (!at.running) return { now: 'the pod does not run' };
  const status = at.report?.status;
  if (!status) {
    const isThere = at.report?.pod !== undefined;
    return { now: `not known: ${isThere ? 'its node does not answer' : 'no hotmount node runs on its node'}` };
  }
  const [name = ''] = item.split(':');
  if (feature === 'lxcfs') return lxcfsNow(name, status, at);
  if (feature === 'media') return mediaNow(name, status, at);
  if (feature === 'devices') return devicesNow(name, status, at);
  if (feature === 'live') return liveNow(status, at);
  return { now: 'since the pod was created' };
}

const isOf =
  ({ pod, uid }: PodAt) =>
  (by: { readonly pod?: string; readonly podUid?: string }): boolean =>
    by.podUid === undefined ? by.pod === pod : by.podUid === uid;

function lxcfsNow(view: string, status: NodeStatus, at: PodAt): Pick<Had, 'now' | 'works'> {
  const { lxcfs } = status;
  if (!lxcfs || !('instances' in lxcfs))
    return { now: `the node’s values: ${lxcfs?.problem ?? 'no lxcfs'}`, works: false };
  const unhealed = lxcfs.unhealed.find((failure) => isOf(at)(failure) && failure.path.includes(`/${view}`));
  if (unhealed) return { now: `not attached: ${unhealed.reason}`, works: false };
  const untrue = lxcfs.untrueViews.find((one) => one.view === view);
  if (untrue) return { now: `the node’s values: ${untrue.why}`, works: false };
  if (!lxcfs.views.includes(view)) return { now: 'the node’s values: this lxcfs does not serve it', works: false };
  return { now: `served by lxcfs ${lxcfsState(status)}`, works: lxcfs.ready };
}

function mediaNow(name: string, status: NodeStatus, at: PodAt): Pick<Had, 'now' | 'works'> {
  const mounted = status.mounted.filter((mount) => mount.class === name);
  const seen = mounted.filter(({ pods = [] }) => pods.some(isOf(at)));
  if (seen.length === 0 && mounted.length === 0) return { now: 'nothing is plugged in', works: true };
  const unseen = mounted.filter((mount) => !seen.includes(mount)).map(({ disk }) => disk);
  if (unseen.length > 0) return { now: `does not see ${unseen.join(', ')}: recreate the pod`, works: false };
  return { now: seen.map(({ disk, label }) => (label ? `${disk} (${label})` : disk)).join(', '), works: true };
}

function devicesNow(name: string, status: NodeStatus, at: PodAt): Pick<Had, 'now' | 'works'> {
  const devices = status.devices.filter((device) => device.class === name);
  if (devices.length === 0) return { now: 'nothing is plugged in', works: true };
  const states = devices.map(({ device, containers }) => {
    const own = containers.find(isOf(at));
    if (!own) return { text: `${device}: no access yet`, works: false };
    const refused = own.state === 'refused' || own.state === 'waiting';
    return { text: refused ? `${device}: ${own.message ?? own.reason ?? own.state}` : device, works: !refused };
  });
  return { now: states.map(({ text }) => text).join('; '), works: states.every(({ works }) => works) };
}

/** What is in its live directory now. */
function liveNow(status: NodeStatus, at: PodAt): Pick<Had, 'now' | 'works'> {
  const { live } = status;
  if (!live) return { now: 'follows no change: its node has no CSI driver', works: false };
  const own = livePod(status, at);
  if (!own)
    return { now: `follows no change: ${live.problem ?? 'its node does not know it as a live pod'}`, works: false };
  const given = [...own.media.map((name) => `media ${name}`), ...own.devices.map((name) => `devices ${name}`)];
  const late = live.problem === undefined ? '' : `; ${live.problem}`;
  return { now: `${given.join(', ') || 'nothing is asked for, or given'}${late}`, works: true };
}

const livePod = (status: NodeStatus | undefined, at: PodAt) => status?.live?.pods.find(isOf(at));

interface StatusAnnotation {
  readonly containers?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly rules?: readonly string[];
  readonly warnings?: readonly string[];
}

/** Whoever may write pods could have written anything there. */
function readStatus(text: string | undefined): StatusAnnotation | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (!isObject(value)) return undefined;
    const strings = (list: unknown): string[] =>
      Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
    const containers = Object.entries(isObject(value['containers']) ? value['containers'] : {}).map(
      ([name, features]) => {
        const own = Object.entries(isObject(features) ? features : {});
        return [name, Object.fromEntries(own.filter(([, items]) => typeof items === 'string'))] as const;
      },
    );
    return {
      containers: Object.fromEntries(containers) as NonNullable<StatusAnnotation['containers']>,
      rules: strings(value['rules']),
      warnings: strings(value['warnings']),
    };
  } catch {
    return undefined;
  }
}

export interface ExplainLook {
  readonly width: number | undefined;
  readonly colors: Colors;
}

/** The explanation for people. Without a width, nothing is folded. */
export function formatExplanation({ object, underPolicy, pods }: Explanation, { width, colors }: ExplainLook): string {
  const lines = [colors.bold(printable(object))];
  const say = (text: string, paint: (text: string) => string = String): void => {
    for (const [i, line] of fold(printable(text), (width ?? Number.POSITIVE_INFINITY) - 6).entries()) {
      lines.push(`${i === 0 ? '  ' : '    '}${paint(line)}`);
    }
  };
  const rowsOf = (rows: readonly Row[]): void =>
    void lines.push(...table(rows, width && width - 4).map((line) => `    ${line}`));
  if (underPolicy) {
    if (underPolicy.gives.length > 0) {
      lines.push('  the policy gives it:');
      const rows = underPolicy.gives.map(({ container, feature, item, rule }) => [
        container || 'pod',
        feature,
        item,
        rule,
      ]);
      rowsOf([['CONTAINER', 'FEATURE', 'ITEM', 'RULE'], ...rows]);
    } else if (underPolicy.denied.length === 0) {
      lines.push('  it asks for nothing that hotmount gives');
    }
    for (const text of underPolicy.denied) say(`denied: ${text}`, colors.red);
    for (const text of underPolicy.warnings) say(`warning: ${text}`, colors.yellow);
  } else {
    lines.push('  the policy may not be read by you: what it says now is not known');
  }
  for (const pod of pods) {
    const where = pod.node ? `on node ${pod.node}` : 'on no node';
    lines.push('', colors.bold(printable(`Pod ${pod.pod}, ${where}, ${pod.phase}`)));
    for (const [key, value] of Object.entries(pod.asks)) say(`asks ${key}=${value}`);
    if (pod.has.length > 0) {
      const rows = pod.has.map(({ container, feature, item, now, works }) => [
        container || 'pod',
        feature,
        item,
        works === false ? `NO: ${now}` : now,
      ]);
      rowsOf([['CONTAINER', 'FEATURE', 'ITEM', 'NOW'], ...rows]);
      say(`by the rules: ${pod.rules.join(', ') || 'none'}`);
    }
    for (const text of pod.problems) say(text, colors.yellow);
  }
  return lines.map((line) => `${line}\n`).join('');
}
