import type { FastifyInstance, FastifyReply } from 'fastify';

/** What the servers of one webhook know about whether it should get requests. */
export interface Health {
  /** Why it should get none for now; undefined: it is ready. */
  notReady: string | undefined;
  /** It is going: each answer asks its client to take the next request elsewhere. */
  draining: boolean;
}

/** Sends a whole answer. All answers go through here, so that none misses `Connection: close` while draining. */
export function respond(reply: FastifyReply, health: Health, code: number, contentType: string, body: string): void {
  if (health.draining) reply.header('connection', 'close');
  reply.code(code).header('content-type', contentType).send(body);
}

/** `/healthz`: the process answers. `/readyz`: it should get requests, or why not yet. */
export function addHealthRoutes(app: FastifyInstance, health: Health): void {
  app.get('/healthz', (_, reply) => respond(reply, health, 200, 'text/plain', 'ok\n'));
  app.get('/readyz', (_, reply) => {
    const { notReady } = health;
    respond(reply, health, notReady ? 503 : 200, 'text/plain', notReady ? `not ready: ${notReady}\n` : 'ok\n');
  });
}
