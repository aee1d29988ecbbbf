import type { NodeStatus } from '../../node/status.ts';
import { ago, type Row } from '../table.ts';

/** Who still holds what was taken away. */

export const goneRows = (departed: NodeStatus['departed'], now: Date): Row[] =>
  departed.flatMap(({ name, holders, holdersProblem, at }) => {
    const about = [name, `${ago(at, now)} ago`];
    return [
      ...holders.map((h) => [...about, `${h.command} (${h.pid})`, podOf(h) ?? h.cgroup, h.path]),
      ...unknownRows(about, holdersProblem),
    ];
  });

export const takenRows = (taken: NonNullable<NodeStatus['live']>['taken'], now: Date): Row[] =>
  taken.flatMap(({ class: name, pod, at, holders, holdersProblem }) => {
    const about = [name, `${ago(at, now)} ago`, pod];
    return [
      ...holders.map((h) => [...about, `${h.command} (${h.pid})`, h.path]),
      ...unknownRows(about, holdersProblem),
    ];
  });

const unknownRows = (about: Row, problem: string | undefined): Row[] =>
  problem === undefined ? [] : [[...about, `by whom is not known yet: ${problem}`]];

/** The pod's name, or else what is known of it. */
export const podOf = ({ pod, podUid }: { readonly pod?: string; readonly podUid?: string }): string | undefined =>
  pod ?? (podUid && `pod ${podUid}`);
