import { expect, it } from 'vitest';
import { REASONS, type Reason } from '../../src/contract/reasons.ts';
import { loadCases } from './case.ts';

/** Only ever part of another's message: why a default was skipped. */
const NEVER_ALONE: readonly Reason[] = ['pod_security_forbids'];
/** Of volumes written by hand, on paths of their own: test/unit/injection/judge-volumes.test.ts. */
const OF_VOLUMES: readonly Reason[] = [
  'volume_attributes_invalid',
  'volume_class_unknown',
  'volume_mount_path',
  'volume_not_read_only',
  'volume_path_unknown',
  'volume_sub_path',
];
/** Of pods that run: test/unit/injection/judge-annotations.test.ts, test/system/live.test.ts. */
const OF_RUNNING_PODS: readonly Reason[] = [
  'pod_not_live',
  'live_no_effect',
  'live_path',
  'live_rule_by_labels',
  'live_annotations_awaited',
  'live_annotations_unreadable',
  'live_for_one_container',
  'live_directory_lost',
  'live_failed',
];

/** Of what the API server leaves of an object: test/unit/injection/misplaced.test.ts. `inject` finds more of the kind, in words of its own. */
const OF_ADMISSION: readonly Reason[] = ['annotation_misplaced'];

it('shows every reason that a user can read in at least one case', () => {
  const shown = new Set(
    loadCases().flatMap(({ warnings, denials, workloadWarnings }) => [...warnings, ...denials, ...workloadWarnings]),
  );
  const read = (Object.keys(REASONS) as Reason[]).filter(
    (reason) =>
      REASONS[reason].kind !== 'outcome' &&
      ![...NEVER_ALONE, ...OF_VOLUMES, ...OF_RUNNING_PODS, ...OF_ADMISSION].includes(reason),
  );
  expect(read.filter((reason) => !shown.has(reason))).toEqual([]);
});
