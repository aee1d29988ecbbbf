import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeInCluster } from './describe-in-cluster.ts';
import { type Installation, install } from './installation.ts';
import { namespace, pod } from './objects.ts';

const POLICY = {
  mediaClasses: [
    { name: 'usb', match: [{ bus: ['usb'] }] },
    { name: 'card', match: [{ bus: ['mmc'] }] },
  ],
  rules: [{ name: 'edge', namespaces: ['edge-live'], allow: { live: true, lxcfs: true, media: ['usb'] } }],
};

describeInCluster('pods that run, when they are annotated', (cluster) => {
  let hotmount: Installation;
  beforeAll(async () => {
    hotmount = await install(cluster(), { values: { policy: POLICY } });
    await cluster().apply(namespace('edge-live', { 'pod-security.kubernetes.io/enforce': 'restricted' }));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', 'edge-live'));
    await cluster().apply([restricted('live', { 'hotmount.io/live': 'true' }), restricted('fixed', {})]);
  });
  afterAll(async () => {
    await hotmount?.stop();
    await cluster().kubectl('delete', 'namespace', 'edge-live', '--wait=false');
  });

  /** @returns what kubectl says of it */
  const annotate = async (name: string, ...changes: string[]): Promise<{ code: number | null; stderr: string }> => {
    const { code, stderr } = await cluster().tryKubectl([
      'annotate',
      'pod',
      name,
      '-n',
      'edge-live',
      '--overwrite',
      ...changes,
    ]);
    return { code, stderr };
  };
  const asked = (): Promise<number> => hotmount.metric('hotmount_admission_requests_total');

  test('live ones are given what the policy allows, and nothing else', async () => {
    const { spec } = await cluster().get('pod', 'live', '-n', 'edge-live');
    expect(spec.volumes.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['hotmount-live', 'hotmount-live-annotations']),
    );
    expect(await annotate('live', 'hotmount.io/media=usb')).toEqual({ code: 0, stderr: '' });
    const denied = await annotate('live', 'hotmount.io/media=usb,card');
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain(
      'admission webhook "annotations.hotmount.io" denied the request: hotmount.io/media asks for media class "card", which no policy rule allows in namespace edge-live',
    );
    expect(await annotate('live', 'hotmount.io/media-')).toEqual({ code: 0, stderr: '' });
  });

  test('others are told that it does nothing', async () => {
    const { code, stderr } = await annotate('fixed', 'hotmount.io/media=usb');
    expect(code).toBe(0);
    expect(stderr).toContain(
      'Warning: the pod is not live, so that the change of hotmount.io/media does nothing to it',
    );
    expect((await annotate('live', 'hotmount.io/lxcfs=true')).stderr).toContain(
      'is decided when a pod is created, so that the change does nothing to one that runs',
    );
  });

  test('the webhook is asked about these alone', async () => {
    await annotate('fixed', 'hotmount.io/media=usb');
    const before = await asked();
    await annotate('fixed', 'example.com/note=x');
    await annotate('fixed', 'hotmount.io/status={}');
    await annotate('fixed', 'hotmount.io/media=usb');
    await cluster().kubectl('label', 'pod', 'fixed', '-n', 'edge-live', 'a=b');
    expect(await asked()).toBe(before);
    await annotate('fixed', 'hotmount.io/media-');
    expect(await asked()).toBe(before + 1);
  });

  test('changes are made all the same while the webhook is away', async () => {
    const [replica] = hotmount.replicas;
    if (!replica) throw new Error('there is no replica');
    await replica.process.stop('SIGKILL');
    hotmount.replicas.splice(0);
    expect(await annotate('live', 'hotmount.io/media=card')).toEqual({ code: 0, stderr: '' });
  });
});

/** A pod that the level restricted allows. */
function restricted(name: string, annotations: Record<string, string>) {
  const made = pod(name, annotations);
  const security = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  };
  const spec = made['spec'] as { containers: object[] };
  return {
    ...made,
    metadata: { ...(made['metadata'] as object), namespace: 'edge-live' },
    spec: { ...spec, containers: spec.containers.map((container) => ({ ...container, securityContext: security })) },
  };
}
