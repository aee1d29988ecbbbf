import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { CertificateSource, CurrentPolicy, SelfSigned } from '../admission/index.ts';
import { FileError, fileProblem } from '../files/file-error.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import { fail } from './fail.ts';
import { logLevelOption, volumesOption } from './flags.ts';
import { keepHeapSmall } from './memory.ts';
import { firstSignal } from './signals.ts';
import { type Flags, readSettings, type Settings } from './webhook/settings.ts';

const HELP = `
Examples:
  hotmount webhook --tls-self-signed --ca-file ca.pem --policy policy.yaml
      On this machine, to try it out. Clients verify it with ca.pem.
  hotmount webhook --policy-configmap hotmount-system/hotmount-policy \\
      --tls-secret hotmount-system/hotmount-webhook-tls \\
      --service hotmount-system/hotmount-webhook \\
      --webhook-configuration hotmount
      In a cluster, as the chart does.

SIGTERM and Ctrl-C drain the webhook: it answers the requests under way, then
ends. A second signal ends it at once.

Exit codes: 0 drained; 1 cannot serve; 2 wrong usage or a bad file.
`;

/** `hotmount webhook`: serves until a signal, then drains. Exit codes: 1 where it cannot serve, 2 for wrong flags and bad files. */
export function webhookCommand(): Command {
  return new Command('webhook')
    .description('serve the admission webhook that injects annotated pods')
    .option('--policy <file>', 'policy file, reloaded when it changes (default: the built-in policy)')
    .option('--policy-configmap <namespace/name>', 'ConfigMap with the policy under the key policy.yaml, watched')
    .option('--tls-cert <file>', 'serving certificate with any intermediates, PEM; reloaded when it changes')
    .option('--tls-key <file>', 'private key of the serving certificate, PEM')
    .option(
      '--tls-client-ca <file>',
      'accept only clients with a certificate of this CA, PEM; reloaded when it changes',
    )
    .option('--tls-client-names <names>', 'accept only client certificates with one of these names, comma separated')
    .option('--tls-self-signed', 'serve a certificate of a new self-made CA, kept in memory')
    .option(
      '--tls-secret <namespace/name>',
      'serve a self-made certificate that all replicas keep and renew in this Secret',
    )
    .option('--service <namespace/name>', 'Service in front of the webhook, for the names in self-made certificates')
    .option(
      '--webhook-configuration <name>',
      'webhook configuration whose caBundle is kept up to date, with --tls-secret',
    )
    .option(
      '--ca-overlap-seconds <seconds>',
      'how long a new CA is published before it is used, with --tls-secret',
      '300',
    )
    .option('--ca-file <file>', 'write the CA of the self-signed certificate to this file, PEM')
    .addOption(volumesOption())
    .option('--host <address>', 'address to listen on; empty: all addresses', '')
    .option('--port <number>', 'HTTPS port; 0: any free port', '8443')
    .option(
      '--health-port <number>',
      'plain HTTP port for /healthz and /readyz alone (default: only on the other two ports)',
    )
    .option('--metrics-port <number>', 'plain HTTP port for /metrics, /healthz and /readyz; 0: any free port', '8080')
    .addOption(logLevelOption())
    .option(
      '--drain-seconds <seconds>',
      'how long to accept new connections after SIGTERM or SIGINT; 0: end at once',
      '10',
    )
    .addHelpText('after', HELP)
    .action(async (flags: Flags, command: Command) => {
      try {
        await serve(readSettings(flags));
      } catch (error) {
        await fail(command, error).finally(endSoon);
      }
    });
}

/** Ends it once the error has been told, which the caller does: by themselves, watches of a cluster go on for ever. */
const endSoon = (): void => void setImmediate(() => process.exit());

const NO_NAMESPACE_LABELS =
  'these policy rules depend on labels of namespaces, and this webhook has no source of them: pods for which that matters get an error';

/** The servers are imported here, once it is clear that they are needed: `--help` does without. */
async function serve(settings: Settings): Promise<void> {
  let log: Logger | undefined;
  const signalled = firstSignal((signal) => log?.warn({ signal }, 'ending at once: requests may fail'));
  const [
    { createLogger },
    { createWebhookMetrics },
    { VERSION },
    { rulesOnNamespaceLabels },
    { openPolicy },
    admission,
    cluster,
  ] = await Promise.all([
    import('../observability/logger.ts'),
    import('../observability/metrics.ts'),
    import('../observability/version.ts'),
    import('../policy/index.ts'),
    import('./open-policy.ts'),
    import('../admission/index.ts'),
    needsCluster(settings) ? import('./webhook/cluster.ts') : undefined,
  ]);
  const { policy: policyFrom, tls, drainSeconds: seconds } = settings;
  log = createLogger(settings.logLevel);
  const metrics = createWebhookMetrics(VERSION);
  const warnOfNamespaceLabels = (policy: Policy): void => {
    if (cluster) return;
    const rules = rulesOnNamespaceLabels(policy);
    if (rules.length > 0) log?.warn({ rules }, NO_NAMESPACE_LABELS);
  };
  const listener = {
    onChange(policy: Policy) {
      metrics.policyReload('success');
      warnOfNamespaceLabels(policy);
    },
    onError: () => metrics.policyReload('failure'),
  };
  const clientCa = settings.clients && admission.openClientCa(settings.clients.ca, log);
  const inCluster = await cluster?.joinCluster(settings, listener, log);
  const fromFile = (logger: Logger): CurrentPolicy => {
    const policy = openPolicy(policyFrom.from === 'file' ? policyFrom.file : undefined, logger, listener);
    warnOfNamespaceLabels(policy.current());
    return policy;
  };
  const fromFiles = (logger: Logger): Promise<CertificateSource> =>
    tls.from === 'files'
      ? admission.openCertificateFiles(tls, logger)
      : handedOn(admission.selfSigned(tls.service), tls.from === 'self' ? tls.caFile : undefined);
  const starting = admission.startWebhook({
    policy: inCluster?.policy ?? fromFile(log),
    certificates: inCluster?.certificates ?? fromFiles(log),
    namespaceLabels: inCluster?.namespaceLabels,
    clientCa,
    clientNames: settings.clients?.names,
    volumes: settings.volumes,
    log,
    metrics,
    host: settings.host,
    port: settings.port,
    metricsPort: settings.metricsPort,
    healthPort: settings.healthPort,
  });
  // What comes from a cluster may have to be waited for, without end: a signal is obeyed meanwhile.
  const webhook = await (inCluster ? Promise.race([starting, signalled]) : starting);
  if (typeof webhook === 'string') {
    log.info({ signal: webhook }, 'ending before there was anything to serve');
    log.flush(() => process.exit(0));
    return;
  }
  log.info(
    {
      url: webhook.url,
      metricsUrl: webhook.metricsUrl,
      healthUrl: webhook.healthUrl,
      policy: nameOf(policyFrom),
      certificate: certificateName(tls),
      version: VERSION,
      startMs: Math.round(performance.now()),
    },
    'serving',
  );

  keepHeapSmall();
  const signal = await signalled;
  log.info({ signal, seconds }, 'draining: not ready, still serving; a second signal, or Ctrl-C, ends it at once');
  const cut = await webhook.drain(seconds, inCluster?.uncalled());
  inCluster?.close();
  log.info(cut === 0 ? {} : { cut }, 'drained and closed');
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

/** The certificate, once its CA is in the file: nobody should find the webhook ready and not know how to verify it. */
async function handedOn(opening: Promise<SelfSigned>, caFile: string | undefined): Promise<SelfSigned> {
  const source = await opening;
  if (caFile === undefined) return source;
  try {
    await writeFile(caFile, source.current().ca);
  } catch (error) {
    throw new FileError(caFile, `${fileProblem(error, 'written')} (--ca-file)`);
  }
  return source;
}
