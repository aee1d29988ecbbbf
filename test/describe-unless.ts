import { describe, expect, test } from 'vitest';
import { REQUIRED } from './settings.ts';

/** As vitest's `describe`. Where there is an obstacle the tests are skipped with it in their name, or fail in CI. */
export function describeUnless(obstacle: string | undefined, name: string, body: () => void): void {
  if (!obstacle) describe(name, body);
  else if (REQUIRED) describe(name, () => test('can run here', () => expect.fail(obstacle)));
  else describe.skip(`${name} (skipped, because ${obstacle})`, body);
}
