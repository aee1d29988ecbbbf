import { describeUnless } from '../../describe-unless.ts';
import { type Version, versions } from './cgroups.ts';

/** What is so on one version of cgroups. Every machine has v2, not every one v1. */
export function describeOn(version: Version, name: string, body: () => void): void {
  const obstacle = versions().includes(version) ? undefined : `cgroup v${version} is not mounted`;
  describeUnless(obstacle, name, body, version === 1 ? 'cgroup v1' : undefined);
}

/** What is so on both. */
export function describeOnEach(body: (version: Version) => void): void {
  for (const version of [1, 2] as const) describeOn(version, `on cgroup v${version}`, () => body(version));
}
