/** There is no way to an API server; the message says what to give. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
}

/** The API server has refused a request: its own words, and the HTTP status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The HTTP status of a refused request; undefined for what never got an answer. */
export const statusOf = (error: unknown): number | undefined => (error instanceof ApiError ? error.code : undefined);

/** Why a request failed, in one line: the API server's own words where there are any. */
export function problemOf(error: unknown): string {
  if (error instanceof ApiError) return `${error.message.split('\n')[0]} (${error.code})`;
  // A host that refuses on all of its addresses has no message of its own (AggregateError).
  if (error instanceof AggregateError && error.message === '') return problemOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
