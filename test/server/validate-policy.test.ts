import { expect, test } from 'vitest';
import { startRig } from './support.ts';

const review = (data: unknown, kind = 'ConfigMap') =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      kind: { group: '', version: 'v1', kind },
      operation: 'UPDATE',
      namespace: 'hotmount',
      name: 'hotmount-policy',
      object: { apiVersion: 'v1', kind, metadata: { name: 'hotmount-policy' }, data },
    },
  });
const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';

test.each([
  ['the lines of a broken policy', { 'policy.yaml': `${HEAD}rules:\n  - nmae: a\n` }, /policy\.yaml:4:5: .*nmae/],
  ['a ConfigMap without the policy', { 'other.yaml': '' }, /needs a text under data\["policy\.yaml"\]/],
  ['a ConfigMap without data', undefined, /needs a text under data\["policy\.yaml"\]/],
])('refuses %s', async (_, data, message) => {
  const rig = await startRig();
  const { json } = await rig.post('/validate/policy', review(data));
  expect(json.response).toMatchObject({ uid: 'u', allowed: false, status: { code: 422 } });
  expect(json.response.status.message).toMatch(message);
  expect(await rig.metrics()).toContain(
    'hotmount_admission_requests_total{outcome="denied",reason="policy_invalid"} 1',
  );
});

test('lets a good policy pass, and warns of what its author hardly meant', async () => {
  const rig = await startRig();
  const media = 'mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }]\n';
  const { json } = await rig.post('/validate/policy', review({ 'policy.yaml': HEAD + media }));
  expect(json.response).toMatchObject({ allowed: true, warnings: ['media class "usb": no rule allows it'] });
});

test('has nothing to say of other kinds', async () => {
  const rig = await startRig();
  const { json } = await rig.post('/validate/policy', review({}, 'Secret'));
  expect(json.response).toEqual({
    uid: 'u',
    allowed: true,
    auditAnnotations: { outcome: 'allowed', reasons: 'unexpected_kind' },
  });
});
