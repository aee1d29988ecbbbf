import { describe, expect, test } from 'vitest';
import { REQUIRED } from './settings.ts';

/** All that may be skipped where HOTMOUNT_REQUIRE_SYSTEM=1, as in CI, and why. Whatever else cannot run there fails. */
const MAY_BE_SKIPPED = {
  'cgroup v1': 'machines with cgroup v2 alone have no device controller of v1',
  crun: 'crun cannot start a container without CAP_SYS_RESOURCE, which machines of CI may lack; the lab has it',
  history: 'a checkout of the last commit alone, or without git, knows no earlier state to upgrade from',
} as const;

export type MayBeSkipped = keyof typeof MAY_BE_SKIPPED;

/**
 * As vitest's `describe`. Where there is an obstacle the tests are skipped, with it in their name; in CI they fail.
 * @param exception skipped in CI, too: the list says why
 */
export function describeUnless(
  obstacle: string | undefined,
  name: string,
  body: () => void,
  exception?: MayBeSkipped,
): void {
  if (!obstacle) describe(name, body);
  else if (REQUIRED && !exception) describe(name, () => test('can run here', () => expect.fail(obstacle)));
  else
    describe.skip(`${name} (skipped, because ${obstacle}${exception ? `: ${MAY_BE_SKIPPED[exception]}` : ''})`, body);
}
