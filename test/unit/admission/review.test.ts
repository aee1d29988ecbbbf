import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseReview, ReviewError } from '../../../src/admission/review/review.ts';
import { SOAK } from '../../settings.ts';

/** Lone surrogates included. fast-check's own `binary` takes a second to set up. */
const UTF16_UNIT = fc.nat(0xffff).map((code) => String.fromCharCode(code));

const request = {
  uid: 'u',
  kind: { group: 'apps', version: 'v1', kind: 'Deployment' },
  operation: 'UPDATE',
  subResource: 'status',
  namespace: 'shop',
  name: 'web',
  dryRun: true,
  object: { spec: {}, futureField: [1] },
};
const bodyOf = (changes: object) =>
  JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { ...request, ...changes } });

it('reads what it needs, and keeps the object as it is', () => {
  expect(parseReview(bodyOf({ futureField: 1 }))).toEqual(request);
});

it('takes absent and null for the zero value, as Go decodes them', () => {
  const parsed = parseReview(
    bodyOf({ subResource: undefined, namespace: null, name: null, dryRun: null, object: null }),
  );
  expect(parsed).toEqual({ ...request, subResource: '', namespace: '', name: '', dryRun: false, object: undefined });
});

it('throws ReviewError and nothing else, whatever the body', () => {
  const hostile = fc.oneof(
    fc.json(),
    fc.string({ unit: UTF16_UNIT }),
    fc
      .record({ key: fc.constantFrom(...Object.keys(request)), value: fc.jsonValue() })
      .map(({ key, value }) => bodyOf({ [key]: value })),
  );
  fc.assert(
    fc.property(hostile, (body) => {
      try {
        expect(parseReview(body).uid).not.toBe('');
      } catch (error) {
        expect(error).toBeInstanceOf(ReviewError);
      }
    }),
    { numRuns: SOAK ? 20_000 : 300 },
  );
});

it('says where JSON goes wrong, and never quotes it: it may be an environment', () => {
  for (const body of ['{"env": "hunter2" "x"}', '{"hunter2"', 'hunter2', '{"a": hunter2}']) {
    expect(() => parseReview(body)).toThrow(ReviewError);
    expect(() => parseReview(body)).not.toThrow(/hunter2/);
  }
  expect(() => parseReview('{"a": 1,}')).toThrow('the body is not JSON: unexpected text at position 8');
});
