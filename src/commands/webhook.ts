import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { CurrentPolicy, Webhook } from '../admission/index.ts';
import { LOG_LEVELS } from '../observability/log-levels.ts';
import type { Certificates } from './webhook/cluster.ts';
import { type Flags, readSettings, type Settings } from './webhook/settings.ts';

/** `hotmount webhook`: serves until a signal, then drains. Exit codes: 1 where it cannot serve, 2 for wrong flags and bad files. */
export function webhookCommand(): Command {
  return new Command('webhook')
    .description('serve the admission webhook that injects annotated pods')
    .option('--policy <file>', 'the policy, read again when it changes (default: the built-in one)')
    .option('--policy-configmap <namespace/name>', 'the policy in a ConfigMap under policy.yaml, watched')
    .option('--tls-cert <file>', 'the serving certificate, PEM, with any intermediates; read again when it changes')
    .option('--tls-key <file>', 'its private key, PEM')
    .option('--tls-self-signed', 'a certificate of a new CA of our own, in memory')
    .option('--tls-secret <namespace/name>', 'certificates of our own, kept and renewed in this Secret by all replicas')
    .option('--service <namespace/name>', 'the Service in front of us, for the names in certificates of our own')
    .option('--webhook-configuration <name>', 'whose caBundle to keep, with --tls-secret')
    .option('--ca-overlap-seconds <seconds>', 'how long API servers get to learn of a new CA, with --tls-secret', '300')
    .option('--ca-file <file>', 'where to write the CA of the self-signed certificate, PEM')
    .option('--host <address>', 'the address to listen on; empty: all of them', '')
    .option('--port <number>', 'for HTTPS; 0: any free one', '8443')
    .option('--metrics-port <number>', 'for /metrics, /healthz and /readyz over plain HTTP; 0: any free one', '8080')
    .option('--log-level <level>', LOG_LEVELS.join(', '), 'info')
    .option('--drain-seconds <seconds>', 'how long to serve on after SIGTERM or SIGINT', '10')
    .action(async (flags: Flags, command: Command) => {
      try {
        await serve(readSettings(flags));
      } catch (error) {
        const exitCode = exitCodeOf(error);
        if (exitCode === undefined) throw error;
        command.error(`error: ${(error as Error).message}`, { exitCode });
      }
    });
}

/** The servers are imported here, once it is clear that they are needed: `--help` does without. */
async function serve(settings: Settings): Promise<void> {
  const [{ createLogger }, { createWebhookMetrics }, { VERSION }, policies, admission, cluster] = await Promise.all([
    import('../observability/logger.ts'),
    import('../observability/metrics.ts'),
    import('../observability/version.ts'),
    import('../policy/index.ts'),
    import('../admission/index.ts'),
    needsCluster(settings) ? import('./webhook/cluster.ts') : undefined,
  ]);
  const { policy: policyFrom, tls } = settings;
  const log = createLogger(settings.logLevel);
  const metrics = createWebhookMetrics(VERSION);
  const listener = {
    onChange() {
      metrics.policyReload('success');
      log.info({ policy: nameOf(policyFrom) }, 'policy reloaded');
    },
    onError(error: { message: string }) {
      metrics.policyReload('failure');
      log.error(`policy not reloaded, the last good one stays in force: ${error.message}`);
    },
  };
  const inCluster = await cluster?.joinCluster(settings, listener, log);

  const openPolicy = (): CurrentPolicy | Promise<CurrentPolicy> => {
    if (inCluster?.policy) return inCluster.policy;
    if (policyFrom.from === 'file') return policies.openPolicyFile(policyFrom.file, listener);
    return { current: policies.defaultPolicy, close() {} };
  };
  const openCertificates = (): Certificates => {
    if (inCluster?.certificates) return inCluster.certificates;
    return tls.from === 'files' ? admission.openCertificateFiles(tls, log) : admission.selfSigned(tls.service);
  };
  const webhook = await admission.startWebhook({
    policy: openPolicy(),
    certificates: openCertificates(),
    namespaceLabels: inCluster?.namespaceLabels,
    log,
    metrics,
    host: settings.host,
    port: settings.port,
    metricsPort: settings.metricsPort,
  });
  if (tls.from === 'self' && tls.caFile !== undefined) await writeCa(tls.caFile, webhook);
  log.info(
    {
      url: webhook.url,
      metricsUrl: webhook.metricsUrl,
      policy: nameOf(policyFrom),
      certificate: certificateName(tls),
      version: VERSION,
      startMs: Math.round(performance.now()),
    },
    'serving',
  );
  await admission.drainOnSignal(webhook, settings.drainSeconds, log);
  inCluster?.close();
}

const needsCluster = ({ policy, tls }: Settings): boolean => policy.from === 'config map' || tls.from === 'secret';

function nameOf(policy: Settings['policy']): string {
  if (policy.from === 'config map') return `${policy.configMap.namespace}/${policy.configMap.name}`;
  return policy.from === 'file' ? policy.file : 'built-in';
}

function certificateName(tls: Settings['tls']): string {
  if (tls.from === 'secret') return `${tls.secret.namespace}/${tls.secret.name}`;
  return tls.from === 'files' ? tls.cert : 'self-signed';
}

async function writeCa(file: string, webhook: Webhook): Promise<void> {
  try {
    await writeFile(file, webhook.ca ?? '');
  } catch (error) {
    await webhook.close();
    throw new CaFileError(`--ca-file ${file} cannot be written: ${(error as Error).message}`);
  }
}

class CaFileError extends Error {
  override readonly name = 'CaFileError';
}

/** By name, so that nothing heavy is loaded for it. undefined: an error of our own, to be seen with its stack. */
const exitCodeOf = (error: unknown): number | undefined =>
  ({ UsageError: 2, PolicyError: 2, CertificateError: 2, KubernetesError: 2, CaFileError: 1, ListenError: 1 })[
    (error as Error).name
  ];
