import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { printableLines } from '../contract/text.ts';
import type { Logger } from '../observability/logger.ts';
import type { Kubernetes } from './client.ts';
import { problemOf, statusOf } from './errors.ts';

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, as `kubectl describe` lists it. */
  readonly reason: string;
  readonly message: string;
}

/** Less than API servers keep Events by default (--event-ttl, an hour), in milliseconds. */
export const EVENT_LIFE_MS = 30 * 60_000;

/** What an Event may hold (pkg/apis/core/validation/events.go). */
const MAX_MESSAGE = 1_024;

/**
 * Puts an Event on a ConfigMap. Its name follows from the version it is about and the half hour it is, so that replicas, and restarts, tell
 * one thing once, and may tell it again before the first is forgotten. Failures are logged: an Event is for people, nothing waits for it.
 */
export async function recordEvent(
  kubernetes: Kubernetes,
  { metadata }: V1ConfigMap,
  { type, reason, message }: EventText,
  log: Logger,
): Promise<void> {
  const { namespace = '', name = '', uid = '', resourceVersion = '' } = metadata ?? {};
  const now = new Date();
  const about = [uid, resourceVersion, reason, Math.floor(now.getTime() / EVENT_LIFE_MS)].join(' ');
  const id = createHash('sha256').update(about).digest('hex').slice(0, 16);
  try {
    await kubernetes.ask(`/api/v1/namespaces/${namespace}/events`, {
      method: 'POST',
      body: {
        metadata: { namespace, name: `${name}.${id}` },
        involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', namespace, name, uid, resourceVersion },
        type,
        reason,
        message: printableLines(message).slice(0, MAX_MESSAGE),
        source: { component: 'hotmount-webhook', host: hostname() },
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      },
    });
  } catch (error) {
    if (statusOf(error) === 409) return;
    log.warn(`no Event could be put on ConfigMap ${namespace}/${name}: ${problemOf(error)}`);
  }
}
