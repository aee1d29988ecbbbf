import type { Logger } from '../../observability/logger.ts';
import type { LxcfsPolicy } from '../../policy/policy.ts';
import type { LxcfsStatus } from './status.ts';

/** Says in which views pods read the node's values, where the policy's views are not all served, or not as they should be. */
export function warnOfViews(
  { missingViews, untrueViews }: Pick<LxcfsStatus, 'missingViews' | 'untrueViews'>,
  { onUntrue }: Pick<LxcfsPolicy, 'onUntrue'>,
  log: Logger,
): void {
  for (const { view, why } of untrueViews.filter(({ isPartly }) => !isPartly)) {
    log.warn(
      { view, why, onUntrue },
      'this lxcfs tells the node’s values in a view: docs/lxcfs.md says which lxcfs does better',
    );
  }
  // Said already.
  const views = missingViews.filter((view) => !untrueViews.some((untrue) => untrue.view === view));
  if (views.length === 0) return;
  log.warn(
    { views },
    'this lxcfs does not serve all views of the policy: pods that ask for these read the node’s values; remove them from `lxcfs.views`, or install a newer lxcfs',
  );
}
