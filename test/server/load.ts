/** What became of requests that were sent without pause. */
export interface Load {
  readonly answers: ReadonlyMap<number, number>;
  readonly errors: readonly unknown[];
}

/**
 * Calls without pause, `width` at a time, until the stop that it returns is called; that resolves when the last call is answered.
 */
export function startLoad(width: number, call: () => Promise<{ statusCode: number }>): () => Promise<Load> {
  const answers = new Map<number, number>();
  const errors: unknown[] = [];
  let stopped = false;
  const client = async () => {
    while (!stopped) {
      try {
        const { statusCode } = await call();
        answers.set(statusCode, (answers.get(statusCode) ?? 0) + 1);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  const clients = Array.from({ length: width }, client);
  return async () => {
    stopped = true;
    await Promise.all(clients);
    return { answers, errors };
  };
}
