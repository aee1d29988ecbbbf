import type { FastifyInstance } from 'fastify';
import type { VolumeKind } from '../contract/volumes.ts';
import type { Logger } from '../observability/logger.ts';
import { createWebhookMetrics, type WebhookMetrics } from '../observability/metrics.ts';
import { VERSION } from '../observability/version.ts';
import type { Policy } from '../policy/index.ts';
import type { CertificateSource } from './certificates/certificate.ts';
import type { ClientCa } from './certificates/client-ca.ts';
import { createAdmissionApp } from './server/admission-app.ts';
import { closeWithin, drain } from './server/drain.ts';
import type { Health } from './server/health.ts';
import { listen } from './server/listen.ts';
import { createHealthApp, createMetricsApp } from './server/plain-apps.ts';
import type { NamespaceLabels } from './server/review-handler.ts';
import { API_SERVER_LIMITS, type Identity, type ServerLimits } from './server/tls-server.ts';

/** Where the policy in force comes from; the sources of src/policy are such. */
export interface CurrentPolicy {
  current(): Policy;
  close(): unknown;
}

export interface WebhookOptions {
  /** Sources that are still loading are waited for; until then `/readyz` says so. Both are closed with the webhook. */
  readonly policy: CurrentPolicy | Promise<CurrentPolicy>;
  readonly certificates: CertificateSource | Promise<CertificateSource>;
  /** Whose certificates clients must have, and which names; default: clients are not asked who they are. Closed with the webhook. */
  readonly clientCa?: ClientCa | undefined;
  readonly clientNames?: readonly string[] | undefined;
  readonly log: Logger;
  /** Default: no labels are known. */
  readonly namespaceLabels?: NamespaceLabels | undefined;
  /** How volumes are written that are added; default: csi. */
  readonly volumes?: VolumeKind | undefined;
  readonly metrics?: WebhookMetrics | undefined;
  /** An address to listen on; default: all. */
  readonly host?: string | undefined;
  /** Default: any free one. */
  readonly port?: number | undefined;
  /** Default: any free one. */
  readonly metricsPort?: number | undefined;
  /** For `/healthz` and `/readyz` alone; default: they are on the other two only. 0: any free one. */
  readonly healthPort?: number | undefined;
  readonly limits?: ServerLimits | undefined;
}

/** A webhook that serves. */
export interface Webhook {
  readonly url: string;
  readonly metricsUrl: string;
  readonly healthUrl: string | undefined;
  /** What clients verify the certificate with, where its source knows: PEM. */
  readonly ca: string | undefined;
  /**
   * Not ready from now on; serves for so many seconds more, asking clients to go, and until those that are idle have gone, then closes.
   * Resolves with the number of connections that it closed on its clients. Without any wait for 0 seconds, and without one for idle clients
   * once `uncalled` is aborted.
   */
  drain(seconds: number, uncalled?: AbortSignal): Promise<number>;
  /** Finishes what is being answered and closes. */
  close(): Promise<void>;
}

/**
 * Starts the webhook. Rejects with ListenError, or with what the policy or the certificates rejected with; nothing stays open then, and
 * a source that is still loading is closed when it has.
 */
export async function startWebhook(options: WebhookOptions): Promise<Webhook> {
  const { log, clientCa, host = '', metrics = createWebhookMetrics(VERSION) } = options;
  const loading = new Set(['the policy', 'the certificate']);
  const health: Health = { notReady: stillLoading(loading), draining: false };
  const closers: Array<() => unknown> = [];
  let closed = false;
  const close = async (): Promise<void> => {
    health.notReady ??= 'it is closing';
    health.draining = true;
    closed = true;
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  const opened = async <T extends { close(): unknown }>(what: string, source: T | Promise<T>): Promise<T> => {
    const it = await source;
    // A failure elsewhere was not kept waiting for this one, which can take for ever.
    if (closed) {
      await it.close();
      return it;
    }
    closers.push(() => it.close());
    loading.delete(what);
    health.notReady = stillLoading(loading);
    return it;
  };

  if (clientCa) closers.push(() => clientCa.close());

  try {
    const listenPlain = (app: FastifyInstance, port: number, option: string): Promise<string> => {
      const listening = listen(app, 'http', { host, port, option });
      // A server that is closed before it listens would listen all the same.
      closers.push(() => Promise.allSettled([listening]).then(() => app.close()));
      return listening;
    };
    const { healthPort, metricsPort = 0 } = options;
    const [policy, certificates, metricsUrl, healthUrl] = await Promise.all([
      opened('the policy', options.policy),
      opened('the certificate', options.certificates),
      listenPlain(createMetricsApp(metrics, health), metricsPort, '--metrics-port'),
      healthPort === undefined ? undefined : listenPlain(createHealthApp(health), healthPort, '--health-port'),
    ]);

    const limits = options.limits ?? API_SERVER_LIMITS;
    const identity = (): Identity => ({ certificate: certificates.current(), clientCa: clientCa?.current() });
    const { app, connections, setIdentity } = createAdmissionApp({
      identity: identity(),
      clients: { names: options.clientNames ?? [] },
      limits,
      policy: () => policy.current(),
      namespaceLabels: options.namespaceLabels ?? (() => undefined),
      volumes: options.volumes ?? 'csi',
      health,
      metrics,
      log,
    });
    closers.push(() => closeWithin(app, connections));
    for (const source of [certificates, clientCa]) source?.onChange(() => setIdentity(identity()));
    metrics.certificateExpiry(() => certificates.current().notAfter);
    const url = await listen(app, 'https', { host, port: options.port ?? 0, option: '--port' });
    health.notReady = undefined;

    return {
      url,
      metricsUrl,
      healthUrl,
      ca: certificates.current().ca,
      async drain(seconds, uncalled) {
        const options = { noticeMs: seconds * 1000, idleClientMs: limits.idleClient, uncalled };
        const left = await drain(health, connections, options);
        await close();
        return left;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const stillLoading = (what: ReadonlySet<string>): string =>
  what.size > 0 ? `still loading ${[...what].join(' and ')}` : 'about to listen';
