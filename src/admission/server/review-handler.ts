import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Labels } from '../../contract/json.ts';
import { printable } from '../../contract/text.ts';
import type { VolumeKind } from '../../contract/volumes.ts';
import type { Connections } from '../../http/connections.ts';
import type { Logger } from '../../observability/logger.ts';
import type { WebhookMetrics } from '../../observability/metrics.ts';
import type { Policy } from '../../policy/policy.ts';
import { decideAdmission, type Target } from '../review/admission-decision.ts';
import { answer } from '../review/answer.ts';
import { logDecision, logProblem } from '../review/decision-log.ts';
import { answerPolicy, judgePolicy } from '../review/policy-verdict.ts';
import { type AdmissionRequest, parseReview } from '../review/review.ts';
import type { Bodies } from './bodies.ts';
import { type Health, respond } from './health.ts';
import { type HttpProblem, statusBody, toProblem, unsupported } from './http-errors.ts';

/** The labels of a namespace, or undefined if they cannot be read. */
export type NamespaceLabels = (namespace: string) => Labels | undefined | Promise<Labels | undefined>;

export interface AdmissionParts {
  readonly policy: () => Policy;
  readonly namespaceLabels: NamespaceLabels;
  /** How volumes are written. */
  readonly volumes: VolumeKind;
  readonly health: Health;
  readonly metrics: WebhookMetrics;
  readonly log: Logger;
}

/** What handling a request takes. */
export interface Serving extends AdmissionParts {
  readonly connections: Connections;
  readonly bodies: Bodies;
}

/** One request and its answer. */
interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** What could be read of the review. */
  asked?: AdmissionRequest | undefined;
  readonly error?: unknown;
}

/** What becomes of one request: the body of the answer, and what is counted and logged. */
interface Answered {
  readonly body: string;
  readonly outcome: 'allowed' | 'denied';
  readonly reason: string;
  log(milliseconds: number): void;
}
type Handler = (exchange: Exchange, serving: Serving) => Answered | Promise<Answered>;

/** Handles what is asked of `/mutate/…`, `/validate/volumes` or `/validate/annotations`. */
export const mutation =
  (target: Target): Handler =>
  async (exchange, { namespaceLabels: labelsOf, policy, volumes, bodies, log }) => {
    let asked = read(exchange);
    let namespaceLabels = labelsOf(asked.namespace);
    if (namespaceLabels instanceof Promise) {
      // A parsed review is many times as large as its bytes: what waits is kept as these.
      exchange.asked = undefined;
      namespaceLabels = await bodies.during(exchange.request.raw, namespaceLabels);
      asked = read(exchange);
    }
    const decision = decideAdmission(target, asked, { policy: policy(), namespaceLabels, volumes });
    const { outcome, reason } = decision;
    return { body: answer(asked.uid, decision), outcome, reason, log: (ms) => logDecision(log, asked, decision, ms) };
  };

/** Handles what is asked of `/validate/policy`. */
export const validation: Handler = (exchange, { log }) => {
  const asked = read(exchange);
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

function read(exchange: Exchange): AdmissionRequest {
  exchange.asked = parseReview((exchange.request.body as Buffer).toString());
  return exchange.asked;
}

/** Answers a review, whatever it is. */
export async function review(handle: Handler, request: FastifyRequest, reply: FastifyReply, serving: Serving) {
  const start = performance.now();
  const exchange: Exchange = { request, reply };
  try {
    // Without a content type there is no parser, and nothing was read.
    if (!Buffer.isBuffer(request.body)) return await refuse(unsupported(undefined), exchange, serving);
    const answered = await handle(exchange, serving);
    serving.connections.served(request.raw.socket);
    respond(reply, serving.health, 200, 'application/json', answered.body);
    const milliseconds = performance.now() - start;
    serving.metrics.decided(answered.outcome, answered.reason, milliseconds / 1000);
    answered.log(milliseconds);
    return reply;
  } catch (error) {
    return refuse(toProblem(error, undefined), { ...exchange, error }, serving);
  }
}

/** Answers with a problem: one body, one count, one log line. */
export async function refuse(
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
