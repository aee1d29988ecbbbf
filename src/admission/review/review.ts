import { isObject, type Json, type JsonObject } from '../../contract/json.ts';

/** The one version that hotmount speaks; MutatingWebhookConfiguration lists it in admissionReviewVersions. */
export const REVIEW_API_VERSION = 'admission.k8s.io/v1';

/** What hotmount reads of an AdmissionRequest (k8s.io/api/admission/v1). */
export interface AdmissionRequest {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly operation: string;
  /** Empty for the object itself. */
  readonly subResource: string;
  /** Empty for what belongs to no namespace. */
  readonly namespace: string;
  /** Empty where the API server has yet to generate it. */
  readonly name: string;
  readonly dryRun: boolean;
  /** Absent for DELETE, and where the request was not made by an API server. */
  readonly object: JsonObject | undefined;
  /** As it was before, for UPDATE. */
  readonly oldObject: JsonObject | undefined;
}

/** Why a request body is not something that an API server would have sent. */
export const BAD_REVIEWS = {
  json_invalid: 'the body is not JSON',
  review_invalid: 'the body is not an AdmissionReview',
  review_version_unsupported: `the AdmissionReview is not of version ${REVIEW_API_VERSION}`,
  request_missing: 'the AdmissionReview has no request',
  request_invalid: 'the request of the AdmissionReview is incomplete',
  object_missing: 'the request has no object',
  object_invalid: 'the object of the request is not what its kind says',
} as const;
export type BadReview = keyof typeof BAD_REVIEWS;

/** The body cannot be answered as an AdmissionReview; `reason` is the metric's label. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly reason: BadReview;

  constructor(reason: BadReview, detail: string) {
    super(`${BAD_REVIEWS[reason]}: ${detail}`);
    this.reason = reason;
  }
}

/** Reads the body of an admission webhook call. Throws ReviewError, and nothing else, for any string. */
export function parseReview(body: string): AdmissionRequest {
  const review = parseJson(body);
  if (!isObject(review)) throw new ReviewError('review_invalid', `expected an object, found ${kindOf(review)}`);
  if (review['kind'] !== 'AdmissionReview') {
    throw new ReviewError('review_invalid', `expected kind "AdmissionReview", found ${show(review['kind'])}`);
  }
  if (review['apiVersion'] !== REVIEW_API_VERSION) {
    throw new ReviewError(
      'review_version_unsupported',
      `found ${show(review['apiVersion'])}; set admissionReviewVersions: [v1] in the webhook configuration`,
    );
  }
  const request = review['request'];
  if (!isObject(request)) throw new ReviewError('request_missing', `expected an object, found ${kindOf(request)}`);
  const kind = request['kind'];
  if (!isObject(kind)) throw new ReviewError('request_invalid', `kind should be an object, found ${kindOf(kind)}`);
  return {
    uid: required(request, 'uid'),
    kind: { group: optional(kind, 'group'), version: optional(kind, 'version'), kind: required(kind, 'kind') },
    operation: required(request, 'operation'),
    subResource: optional(request, 'subResource'),
    namespace: optional(request, 'namespace'),
    name: optional(request, 'name'),
    dryRun: request['dryRun'] === true,
    object: optionalObject(request, 'object'),
    oldObject: optionalObject(request, 'oldObject'),
  };
}

function parseJson(body: string): Json {
  if (body === '') throw new ReviewError('json_invalid', 'it is empty');
  try {
    return JSON.parse(body);
  } catch (error) {
    // V8 quotes the text around the error, which may be a pod's environment: only its position is worth passing on.
    const position = /position \d+(?: \(line \d+ column \d+\))?/.exec((error as Error).message)?.[0];
    throw new ReviewError('json_invalid', position ? `unexpected text at ${position}` : `it ends too early`);
  }
}

function optionalObject(from: JsonObject, field: string): JsonObject | undefined {
  const object = from[field];
  if (object === undefined || object === null || isObject(object)) return object ?? undefined;
  throw new ReviewError('object_missing', `expected an object, found ${kindOf(object)}`);
}

function required(from: JsonObject, field: string): string {
  const value = optional(from, field);
  if (value === '') throw new ReviewError('request_invalid', `${field} is missing`);
  return value;
}

function optional(from: JsonObject, field: string): string {
  const value = from[field] ?? '';
  if (typeof value !== 'string') {
    throw new ReviewError('request_invalid', `${field} should be a string, found ${kindOf(value)}`);
  }
  return value;
}

function kindOf(value: Json | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}

/** A short foreign value as it is, anything else by its type. */
const show = (value: Json | undefined): string =>
  typeof value === 'string' && value.length <= 64 ? JSON.stringify(value) : kindOf(value);
