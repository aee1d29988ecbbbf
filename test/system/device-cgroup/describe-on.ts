import { describe } from 'vitest';
import { describeUnless } from '../../describe-unless.ts';
import { type Version, versions } from './cgroups.ts';

/** What is so on one version of cgroups. Every machine has v2; that v1 is not mounted is nothing amiss, and no failure in CI either. */
export function describeOn(version: Version, name: string, body: () => void): void {
  const obstacle = versions().includes(version) ? undefined : `cgroup v${version} is not mounted`;
  if (obstacle && version === 1) describe.skip(`${name} (skipped, because ${obstacle})`, body);
  else describeUnless(obstacle, name, body);
}

/** What is so on both. */
export function describeOnEach(body: (version: Version) => void): void {
  for (const version of [1, 2] as const) describeOn(version, `on cgroup v${version}`, () => body(version));
}
