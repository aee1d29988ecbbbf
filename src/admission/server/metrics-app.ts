import { type FastifyInstance, fastify } from 'fastify';
import type { WebhookMetrics } from '../../observability/metrics.ts';
import { addHealthRoutes, type Health, respond } from './health.ts';

/** The plain-HTTP side, for Prometheus and the kubelet, not yet listening: `/metrics`, `/healthz`, `/readyz`. */
export function createMetricsApp(metrics: WebhookMetrics, health: Health): FastifyInstance {
  const app = fastify({ logger: false, return503OnClosing: false, forceCloseConnections: true });
  app.get('/metrics', async (_, reply) => {
    const { registry } = metrics;
    respond(reply, health, 200, registry.contentType, await registry.metrics());
    return reply;
  });
  addHealthRoutes(app, health);
  return app;
}
