import type { Colors } from 'picocolors/types.ts';
import { printable } from '../../contract/text.ts';
import type { NodeStatus } from '../../node/status.ts';
import { ago, table } from '../table.ts';
import { podOf } from './holders.ts';

export function formatLxcfs(lxcfs: NonNullable<NodeStatus['lxcfs']>, now: Date, colors: Colors): string[] {
  const problem = lxcfs.problem === undefined ? [] : [colors.red(printable(lxcfs.problem))];
  if (!('instances' in lxcfs)) return problem;
  const { instances, attached, restarts, lastGap, views, missingViews, unhealed } = lxcfs;
  // A supervisor of an earlier version does not tell.
  const { untrueViews = [] } = lxcfs;
  return [
    ...problem,
    ...table([
      ['ROLE', 'PROCESS', 'VERSION', 'SINCE', 'PATH'],
      ...instances.map(({ role, pid, version, since, path }) => [role, String(pid), version, ago(since, now), path]),
    ]),
    `views: ${views.join(', ') || 'none'}${missingViews.length > 0 ? `; not served, though the policy names them: ${missingViews.join(', ')}` : ''}`,
    ...untrueViews.map(({ view, why, isPartly }) =>
      colors.yellow(`${view} ${isPartly ? 'is not always right' : 'tells the node’s values'}: ${printable(why)}`),
    ),
    `${attached.files} files in ${attached.containers} containers; ${restarts} restarts`,
    ...(attached.nodeFiles > 0
      ? [colors.yellow(`${attached.nodeFiles} files more show the node’s values: no lxcfs serves them`)]
      : []),
    ...(lastGap
      ? [
          `the active one ${lastGap.cause === 'hung' ? 'hung' : 'was lost'} ${ago(lastGap.at, now)} ago; ${lastGap.containers} containers were attached to another within ${(lastGap.seconds * 1000).toFixed(0)} ms`,
        ]
      : []),
    ...unhealed.map(({ pid, path, reason, ...by }) =>
      colors.red(
        `${printable(path)} of process ${pid}${podOf(by) ? ` (${podOf(by)})` : ''} is not attached: ${reason}`,
      ),
    ),
  ];
}
