import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../src/contract/json.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { type Installation, install } from './installation.ts';
import { deployment, namespace } from './objects.ts';

const CARRIED = 'hotmount.io/from-workload';

/** As Argo CD and Flux write: what is in Git is applied again and again, and must come out as no change. */
describeInCluster('a workload that a GitOps tool applies', (cluster) => {
  let hotmount: Installation;
  beforeAll(async () => {
    hotmount = await install(cluster());
    await cluster().apply(namespace('gitops'));
  });
  afterAll(async () => {
    await hotmount?.stop();
    await cluster().kubectl('delete', 'namespace', 'gitops', '--wait=false');
  });

  const live = (name: string) => cluster().get('deployment', name, '-n', 'gitops');
  /** What its controller still has to write of its status would be a difference to `kubectl diff`, which reads it twice. */
  const settled = (name: string): Promise<void> =>
    cluster().eventually(async () => {
      const { metadata, status } = await live(name);
      expect(status).toMatchObject({
        observedGeneration: metadata.generation,
        conditions: expect.arrayContaining([expect.objectContaining({ reason: 'NewReplicaSetAvailable' })]),
      });
    });
  const apply = async (object: JsonObject, ...args: string[]): Promise<void> => {
    const { code, stderr } = await cluster().tryKubectl(
      ['apply', '-n', 'gitops', '-f', '-', ...args],
      JSON.stringify(object),
    );
    expect([code, stderr]).toEqual([0, '']);
  };
  const diff = async (object: JsonObject, ...args: string[]): Promise<string> => {
    await settled((object['metadata'] as { name: string }).name);
    const command = ['diff', '-n', 'gitops', '-f', '-', ...args];
    const { code, stdout, stderr } = await cluster().tryKubectl(command, JSON.stringify(object));
    expect([0, 1], stderr).toContain(code);
    return stdout;
  };

  test.each([
    ['by server-side apply', ['--server-side', '--field-manager=argocd-controller']],
    ['by client-side apply', []],
  ])('does not flap, %s: nor where the annotation is on the workload', async (how, flags) => {
    const name = how.includes('server') ? 'server-side' : 'client-side';
    const inGit = deployment(name, 0, { 'hotmount.io/lxcfs': 'meminfo' });
    await apply(inGit, ...flags);
    const first = await live(name);
    expect(first.spec.template.metadata.annotations[CARRIED]).toBe('{"hotmount.io/lxcfs":"meminfo"}');

    expect(await diff(inGit, ...flags)).toBe('');
    for (let i = 0; i < 3; i++) await apply(inGit, ...flags);
    const later = await live(name);
    expect(later.metadata.generation).toBe(first.metadata.generation);
    expect(later.spec).toEqual(first.spec);

    // Git takes the annotation back, and what was carried goes with it.
    await apply(deployment(name, 0), ...flags);
    const annotations = (await live(name)).spec.template.metadata.annotations ?? {};
    expect(annotations).not.toHaveProperty([CARRIED]);
    expect(await diff(deployment(name, 0), ...flags)).toBe('');
  });

  test('is left to whoever annotates it beside Git', async () => {
    const flags = ['--server-side', '--field-manager=argocd-controller'];
    const inGit = deployment('beside', 0);
    await apply(inGit, ...flags);
    await cluster().kubectl('annotate', 'deployment', 'beside', 'hotmount.io/lxcfs=meminfo', '-n', 'gitops');
    const annotated = await live('beside');
    expect(await diff(inGit, ...flags)).toBe('');
    for (let i = 0; i < 3; i++) await apply(inGit, ...flags);
    expect((await live('beside')).spec).toEqual(annotated.spec);
  });
});
