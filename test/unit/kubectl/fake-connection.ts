import type { Connection } from '../../../src/commands/kubectl/connection.ts';
import { ApiError } from '../../../src/kubernetes/errors.ts';

/** Answers by path, with a number for an HTTP status; all else is not found. `asked` has the paths and label selectors. */
export function fakeConnection(
  answers: Readonly<Record<string, object | number>>,
  more: Partial<Connection> = {},
): Connection & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    config: undefined as never,
    namespace: 'shop',
    systemNamespace: undefined,
    timeout: 10_000,
    ask: async (path, { query } = {}) => {
      asked.push([path, query?.['labelSelector']].filter(Boolean).join('?'));
      const answer = answers[path] ?? 404;
      if (typeof answer === 'number') throw new ApiError(answer, `${path} is refused`);
      return answer as never;
    },
    asked,
    ...more,
  };
}
