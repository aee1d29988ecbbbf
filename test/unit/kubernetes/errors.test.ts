import { expect, test } from 'vitest';
import { ApiError, problemOf, statusOf } from '../../../src/kubernetes/errors.ts';

test('a request that timed out has no HTTP status, although its error has a code', () => {
  const error = AbortSignal.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')).reason;
  expect(error.code).toBe(23);
  expect(statusOf(error)).toBeUndefined();
  expect(problemOf(error)).toBe('The operation was aborted due to timeout');
});

test('a refusal is told in the words of the API server', () => {
  const error = new ApiError(403, 'secrets is forbidden');
  expect(statusOf(error)).toBe(403);
  expect(problemOf(error)).toBe('secrets is forbidden (403)');
});

test('a host that refuses on all of its addresses is told with one of them', () => {
  const refused = new Error('connect ECONNREFUSED ::1:6443');
  expect(problemOf(new AggregateError([refused, new Error('connect ECONNREFUSED 127.0.0.1:6443')]))).toBe(
    'connect ECONNREFUSED ::1:6443',
  );
});
