import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:https';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Labels } from '../contract/json.ts';
import { printable } from '../contract/text.ts';
import type { VolumeKind } from '../contract/volumes.ts';
import type { Logger } from '../observability/logger.ts';
import type { WebhookMetrics } from '../observability/metrics.ts';
import type { Policy } from '../policy/policy.ts';
import { answer } from './answer.ts';
import type { Certificate } from './certificates.ts';
import { handleClientError } from './client-errors.ts';
import { decide, type Target } from './decide.ts';
import { logDecision, logProblem } from './decision-log.ts';
import { addHealthRoutes, type Health, respond } from './health.ts';
import { BODY_LIMIT, type HttpProblem, statusBody, toProblem, unsupported } from './http-errors.ts';
import { type AdmissionRequest, parseReview } from './review.ts';
import { createTlsServer, type ServerLimits } from './tls-server.ts';
import { answerPolicy, judgePolicy } from './validate-policy.ts';

/** The labels of a namespace, or undefined where they cannot be had. */
export type NamespaceLabels = (namespace: string) => Labels | undefined | Promise<Labels | undefined>;

export interface AdmissionParts {
  readonly certificate: Certificate;
  readonly limits: ServerLimits;
  readonly policy: () => Policy;
  readonly namespaceLabels: NamespaceLabels;
  /** How volumes are written. */
  readonly volumes: VolumeKind;
  readonly health: Health;
  readonly metrics: WebhookMetrics;
  readonly log: Logger;
}

export interface AdmissionApp {
  readonly app: FastifyInstance;
  readonly server: Server;
}

/** The HTTPS side of the webhook, not yet listening: `POST /mutate/pods`, `/mutate/workloads` and `/validate/policy`, health. */
export function createAdmissionApp(parts: AdmissionParts): AdmissionApp {
  const { health, log } = parts;
  let server: Server | undefined;
  const app = fastify({
    // One log line a request is ours, and says more than an access log.
    logger: false,
    bodyLimit: BODY_LIMIT,
    // While draining, answers go on; they say `Connection: close` instead.
    return503OnClosing: false,
    exposeHeadRoutes: false,
    clientErrorHandler: (error, socket) => handleClientError(error, socket, log),
    serverFactory: (handler) => {
      server = createTlsServer(handler, parts.certificate, parts.limits);
      return server;
    },
  });
  // The body stays a string here, and is parsed once: a schema would coerce fields of the pod.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_, body, done) => done(null, body));

  app.post('/mutate/pods', (request, reply) => review(decisionOn('pods'), request, reply, parts));
  app.post('/mutate/workloads', (request, reply) => review(decisionOn('workloads'), request, reply, parts));
  app.post('/validate/policy', (request, reply) => review(policyVerdict, request, reply, parts));
  addHealthRoutes(app, health);

  app.setNotFoundHandler((request, reply) => {
    const message = `there is no ${request.method} ${printable(request.url, 256)} here; POST /mutate/pods, /mutate/workloads and /validate/policy are`;
    return refuse({ code: 404, reason: 'path_unknown', message }, { request, reply }, parts);
  });
  app.setErrorHandler((error, request, reply) =>
    refuse(toProblem(error, request.headers['content-type']), { request, reply, error }, parts),
  );
  if (!server) throw new Error('fastify made no server');
  return { app, server };
}

/** What becomes of one request: the body of the answer, and what is counted and logged. */
interface Answered {
  readonly body: string;
  readonly outcome: 'allowed' | 'denied';
  readonly reason: string;
  log(milliseconds: number): void;
}
type Handler = (asked: AdmissionRequest, parts: AdmissionParts) => Answered | Promise<Answered>;

const decisionOn =
  (target: Target): Handler =>
  async (asked, { policy, volumes, log, ...parts }) => {
    const namespaceLabels = await parts.namespaceLabels(asked.namespace);
    const decision = decide(target, asked, { policy: policy(), namespaceLabels, volumes });
    const { outcome, reason } = decision;
    return { body: answer(asked.uid, decision), outcome, reason, log: (ms) => logDecision(log, asked, decision, ms) };
  };

const policyVerdict: Handler = (asked, { log }) => {
  const verdict = judgePolicy(asked);
  const { outcome, reason, message } = verdict;
  const configMap = `${printable(asked.namespace, 63)}/${printable(asked.name, 253)}`;
  return {
    body: answerPolicy(asked.uid, verdict),
    outcome,
    reason,
    log: (ms) =>
      log.info({ configMap, outcome, reason, problem: printable(message, 1_024) || undefined, ms }, 'judged a policy'),
  };
};

async function review(handle: Handler, request: FastifyRequest, reply: FastifyReply, parts: AdmissionParts) {
  const start = performance.now();
  let asked: AdmissionRequest | undefined;
  try {
    // Without a content type there is no parser, and nothing was read.
    if (typeof request.body !== 'string') return await refuse(unsupported(undefined), { request, reply }, parts);
    asked = parseReview(request.body);
    const answered = await handle(asked, parts);
    respond(reply, parts.health, 200, 'application/json', answered.body);
    const milliseconds = performance.now() - start;
    parts.metrics.decided(answered.outcome, answered.reason, milliseconds / 1000);
    answered.log(milliseconds);
    return reply;
  } catch (error) {
    return refuse(toProblem(error, undefined), { request, reply, asked, error }, parts);
  }
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** What could be read of the review. */
  readonly asked?: AdmissionRequest | undefined;
  readonly error?: unknown;
}

/** Answers with a problem: one body, one count, one log line. */
async function refuse(
  problem: HttpProblem,
  { request, reply, asked, error }: Exchange,
  { health, metrics, log }: AdmissionParts,
): Promise<FastifyReply> {
  metrics.refused(problem.code < 500 ? 'invalid' : 'failed', problem.reason);
  logProblem(log, problem, { url: request.url, from: request.ip }, asked, error);
  if (problem.code === 413) await discardBody(request.raw);
  respond(reply, health, problem.code, 'application/json', statusBody(problem));
  return reply;
}

/** Bytes taken of a body that is too large, so that its sender gets to reading the answer. */
const DISCARD_LIMIT = 64 * 1024 * 1024;

/**
 * Reads and drops the rest of a body. A connection that is closed while its client still writes is reset, and the answer on it may be
 * lost (RFC 9112, 9.6).
 */
async function discardBody(body: IncomingMessage): Promise<void> {
  let left = DISCARD_LIMIT;
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      left -= (chunk as Buffer).length;
      if (left < 0) return;
    }
  } catch {
    // The client has gone; there is nobody to answer.
  }
}
