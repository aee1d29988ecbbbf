import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionLimits, listenOnPort, type Pages, sendText, servePages } from './server.ts';

export const PUBLIC_LIMITS: ConnectionLimits = { deadline: 15_000, connections: 64 };

/** ms. The kubelet gives a probe one second, and what is wrong with lxcfs is no reason not to be ready. */
const DETAIL_DEADLINE = 300;

/** What everybody may ask. */
export interface HealthAnswers {
  /** Why the daemon is not ready; undefined where it is. */
  readonly notReady: () => string | undefined;
  readonly metrics: () => Promise<string>;
  /** What is wrong although the daemon is ready: said in the body of /readyz where it is known in time. */
  readonly detail: () => Promise<string | undefined>;
}

export const healthPages = ({ notReady, detail, metrics }: HealthAnswers): Pages => ({
  'GET /healthz': (response) => sendText(response, 200, 'ok'),
  'GET /readyz': async (response) => {
    const problem = notReady();
    const more = await within(DETAIL_DEADLINE, detail(), 'lxcfs: it does not answer');
    sendText(response, problem === undefined ? 200 : 503, [problem ?? 'ok', ...(more ? [more] : [])].join('\n'));
  },
  'GET /metrics': async (response) =>
    sendText(response, 200, await metrics(), 'text/plain; version=0.0.4; charset=utf-8'),
});

/** Health and metrics on a port; 0: any free one. @throws Error that says what to do if it cannot listen */
export async function listenForHealth(port: number, host: string, answers: HealthAnswers): Promise<Server> {
  const server = servePages(healthPages(answers), PUBLIC_LIMITS);
  await listenOnPort(server, port, host, '--metrics-port, --host');
  return server;
}

/** What it resolves with, or where that takes longer than `deadline` ms, `otherwise`. */
async function within<T>(deadline: number, promise: Promise<T>, otherwise: T): Promise<T> {
  const answered = new AbortController();
  try {
    return await Promise.race([promise, sleep(deadline, otherwise, { signal: answered.signal })]);
  } finally {
    answered.abort();
  }
}
