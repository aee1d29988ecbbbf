import { createServer } from 'node:http';
import { type FastifyInstance, fastify } from 'fastify';
import { Connections } from '../../http/connections.ts';
import type { WebhookMetrics } from '../../observability/metrics.ts';
import { addHealthRoutes, type Health, respond } from './health.ts';

/** For a kubelet and a Prometheus or two, and as many again that hang. */
const MAX_CONNECTIONS = 64;
/** Milliseconds for a request to arrive. */
const REQUEST_MS = 10_000;

/** The plain-HTTP side for Prometheus, not yet listening: `/metrics`, `/healthz`, `/readyz`. */
export function createMetricsApp(metrics: WebhookMetrics, health: Health): FastifyInstance {
  const app = createHealthApp(health);
  app.get('/metrics', async (_, reply) => {
    const { registry } = metrics;
    respond(reply, health, 200, registry.contentType, await registry.metrics());
    return reply;
  });
  return app;
}

/** For the kubelet's probes, not yet listening: `/healthz`, `/readyz`. */
export function createHealthApp(health: Health): FastifyInstance {
  const connections = new Connections({ max: MAX_CONNECTIONS });
  const app = fastify({
    logger: false,
    return503OnClosing: false,
    forceCloseConnections: true,
    serverFactory(handler) {
      const server = createServer({ headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS }, handler);
      connections.add(server);
      return server;
    },
  });
  addHealthRoutes(app, health);
  return app;
}
