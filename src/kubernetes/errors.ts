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
  const { message, cause } = error as { message?: string; cause?: unknown };
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return [message ?? String(error), code ?? inner].filter(Boolean).join(': ');
}
