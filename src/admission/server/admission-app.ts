import type { Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { printable } from '../../contract/text.ts';
import { Connections } from '../../http/connections.ts';
import type { Logger } from '../../observability/logger.ts';
import { Bodies } from './bodies.ts';
import { type Clients, clientProblem } from './client-authentication.ts';
import { handleClientError } from './client-errors.ts';
import { addHealthRoutes } from './health.ts';
import { toProblem } from './http-errors.ts';
import { type AdmissionParts, mutation, refuse, review, type Serving, validation } from './review-handler.ts';
import { createTlsServer, type Identity, type ServerLimits, secureContext } from './tls-server.ts';

export interface AdmissionAppOptions extends AdmissionParts {
  readonly identity: Identity;
  /** Who may ask for admissions, with the identity's clientCa. */
  readonly clients: Clients;
  readonly limits: ServerLimits;
}

export interface AdmissionApp {
  readonly app: FastifyInstance;
  readonly connections: Connections;
  /** For new connections; open ones go on with the one before. */
  setIdentity(identity: Identity): void;
}

/** The HTTPS side of the webhook, not yet listening: `POST /mutate/pods`, `/mutate/workloads`, `/validate/volumes`, `/validate/annotations` and `/validate/policy`, health. */
export function createAdmissionApp(options: AdmissionAppOptions): AdmissionApp {
  const { log, limits } = options;
  let { identity } = options;
  const serving = bounded(options, limits);
  const { connections, bodies } = serving;
  // fastify makes two for the host "localhost".
  const servers = new Set<Server>();
  const app = fastify({
    // One log line a request is ours, and says more than an access log.
    logger: false,
    // While draining, answers go on; they say `Connection: close` instead.
    return503OnClosing: false,
    exposeHeadRoutes: false,
    clientErrorHandler: (error, socket) => handleClientError(error, socket, log),
    serverFactory(handler) {
      const server = createTlsServer(handler, identity, limits);
      connections.add(server);
      servers.add(server);
      return server;
    },
  });
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => bodies.release(request.raw));
    const problem =
      identity.clientCa !== undefined && request.method === 'POST'
        ? clientProblem(request.raw.socket as TLSSocket, options.clients)
        : undefined;
    if (problem) void refuse(problem, { request, reply }, serving);
    else done();
  });
  // The body stays as it is here, and is parsed once: a schema would coerce fields of the pod.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request: FastifyRequest) => bodies.read(request.raw));

  app.post('/mutate/pods', (request, reply) => review(mutation('pods'), request, reply, serving));
  app.post('/mutate/workloads', (request, reply) => review(mutation('workloads'), request, reply, serving));
  app.post('/validate/volumes', (request, reply) => review(mutation('volumes'), request, reply, serving));
  app.post('/validate/annotations', (request, reply) => review(mutation('annotations'), request, reply, serving));
  app.post('/validate/policy', (request, reply) => review(validation, request, reply, serving));
  addHealthRoutes(app, options.health);

  app.setNotFoundHandler((request, reply) => {
    const message = `there is no ${request.method} ${printable(request.url, 256)} here; POST /mutate/pods, /mutate/workloads, /validate/volumes, /validate/annotations and /validate/policy are`;
    return refuse({ code: 404, reason: 'path_unknown', message }, { request, reply }, serving);
  });
  app.setErrorHandler((error, request, reply) =>
    refuse(toProblem(error, request.headers['content-type']), { request, reply, error }, serving),
  );
  return {
    app,
    connections,
    setIdentity(to) {
      identity = to;
      for (const server of servers) server.setSecureContext(secureContext(to));
    },
  };
}

/** Bounds what clients can take up, and tells where that has been too little. */
function bounded(parts: AdmissionParts, limits: ServerLimits): Serving {
  const { metrics } = parts;
  const warn = warnOncePerMinute(parts.log);
  return {
    ...parts,
    connections: new Connections({
      max: limits.connections,
      onDisplaced(count) {
        metrics.displaced('connection', count);
        warn(
          `more than ${limits.connections} connections: those that have not been of use yet are closed for new ones`,
        );
      },
    }),
    bodies: new Bodies(limits.bodies, () => {
      metrics.displaced('body', 1);
      warn(`unfinished requests take more than ${limits.bodies} bytes: the oldest are given up`);
    }),
  };
}

const MINUTE_MS = 60_000;

/** Whoever floods the webhook does not flood its log. */
function warnOncePerMinute(log: Logger): (problem: string) => void {
  let quietUntil = 0;
  return (problem) => {
    if (performance.now() < quietUntil) return;
    quietUntil = performance.now() + MINUTE_MS;
    log.warn(`${problem}; do clients other than the API server reach this webhook? See docs/security.md`);
  };
}
