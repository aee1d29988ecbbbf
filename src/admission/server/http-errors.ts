import { type BadReview, ReviewError } from '../review/review.ts';
import { BodyInPiecesError, BodyTooLargeError, OverloadedError } from './bodies.ts';

/** Why an answer is something other than 200; the metric's label and the word in the log. */
export type HttpReason =
  | BadReview
  | 'path_unknown'
  | 'content_type_unsupported'
  | 'body_too_large'
  | 'client_unauthenticated'
  | 'overloaded'
  | 'request_malformed'
  | 'namespace_labels_unknown'
  | 'internal_error';

export interface HttpProblem {
  /** HTTP status code. */
  readonly code: number;
  readonly reason: HttpReason;
  readonly message: string;
}

/** What is wrong with a request, from whatever was thrown on its way. */
export function toProblem(error: unknown, contentType: string | undefined): HttpProblem {
  if (error instanceof ReviewError) return { code: 400, reason: error.reason, message: error.message };
  const { code, statusCode, name, message } = error as Error & { code?: string; statusCode?: number };
  if (name === 'NamespaceLabelsUnknownError') {
    return { code: 500, reason: 'namespace_labels_unknown', message: `${message}: ${NO_LABELS}` };
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return unsupported(contentType);
  if (error instanceof BodyTooLargeError) return { code: 413, reason: 'body_too_large', message };
  if (error instanceof BodyInPiecesError) return { code: 400, reason: 'request_malformed', message };
  if (error instanceof OverloadedError)
    return { code: 503, reason: 'overloaded', message: `${message}: ${OVERLOADED}` };
  if (statusCode && statusCode < 500) {
    return { code: statusCode, reason: 'request_malformed', message: `the request cannot be read: ${message}` };
  }
  return { code: 500, reason: 'internal_error', message: `a bug in hotmount: ${message}` };
}

/** The problem of a request with another content type, or none: undefined. */
export const unsupported = (contentType: string | undefined): HttpProblem => ({
  code: 415,
  reason: 'content_type_unsupported',
  message: `expected the content type application/json, found ${contentType ? JSON.stringify(contentType) : 'none'}`,
});

const STATUS_REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  403: 'Forbidden',
  404: 'NotFound',
  408: 'Timeout',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  503: 'ServiceUnavailable',
};

/** A metav1.Status: API servers decode it as the error of the call, and show its message. */
export function statusBody({ code, reason, message }: HttpProblem): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Status',
    metadata: {},
    status: 'Failure',
    code,
    reason: STATUS_REASONS[code] ?? (code < 500 ? 'BadRequest' : 'InternalError'),
    message: `hotmount: ${message}`,
    details: { causes: [{ reason }] },
  });
}

const OVERLOADED = 'do clients other than the API server reach this webhook? See docs/security.md';

/** With everything from files, nothing tells the webhook of namespaces; else its log says why they could not be had. */
const NO_LABELS =
  'either the API server could not be asked just now, or this webhook has no source of them (see --policy-configmap)';
