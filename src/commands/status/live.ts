import type { NodeStatus } from '../../node/status.ts';
import type { Row } from '../table.ts';

type Live = NonNullable<NodeStatus['live']>;

export function liveRows({ pods }: Live): Row[] {
  if (pods.length === 0) return [];
  return [
    ['POD', 'MEDIA', 'DEVICES'],
    ...pods.map(({ pod, media, devices }) => [pod, media.join(','), devices.join(',')]),
  ];
}

export const notGivenRows = ({ pods }: Live): Row[] =>
  pods.flatMap(({ pod, notGiven }) => notGiven.map(({ reason, message }) => [pod, reason, message]));
