import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { SelfSigned } from '../admission/index.ts';
import { parseServiceName, type ServiceName } from '../admission/names.ts';
import { FileError, fileProblem } from '../files/file-error.ts';
import { LOG_LEVELS, type LogLevel } from '../observability/log-levels.ts';
import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import { fail, UsageError } from './fail.ts';
import { readLogLevel, readNumber, readPort } from './flags.ts';
import { firstSignal } from './signals.ts';

/** As commander gives them. */
interface Flags {
  policy?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsSelfSigned?: true;
  service?: string;
  caFile?: string;
  host: string;
  port: string;
  metricsPort: string;
  logLevel: string;
  drainSeconds: string;
}

/** `hotmount webhook`: serves until a signal, then drains. Exit codes: 1 where it cannot serve, 2 for wrong flags and bad files. */
export function webhookCommand(): Command {
  return new Command('webhook')
    .description('serve the admission webhook that injects annotated pods')
    .option('--policy <file>', 'the policy, read again when it changes (default: the built-in one)')
    .option('--tls-cert <file>', 'the serving certificate, PEM, with any intermediates; read again when it changes')
    .option('--tls-key <file>', 'its private key, PEM')
    .option('--tls-self-signed', 'a certificate of a new CA of our own, in memory')
    .option('--service <namespace/name>', 'the Service in front of us, for the names in the self-signed certificate')
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
        await fail(command, error);
      }
    });
}

interface Settings {
  readonly policy: string | undefined;
  readonly tls:
    | { readonly cert: string; readonly key: string }
    | { readonly service: ServiceName | undefined; readonly caFile: string | undefined };
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly logLevel: LogLevel;
  readonly drainSeconds: number;
}

function readSettings(flags: Flags): Settings {
  const settings = {
    policy: flags.policy,
    tls: readTls(flags),
    host: flags.host,
    port: readPort('--port', flags.port),
    metricsPort: readPort('--metrics-port', flags.metricsPort),
    logLevel: readLogLevel(flags.logLevel),
    drainSeconds: readNumber('--drain-seconds', flags.drainSeconds, { max: 3_600 }),
  };
  if (settings.port === settings.metricsPort && settings.port !== 0) {
    throw new UsageError(`--port and --metrics-port are both ${settings.port}: they need one each`);
  }
  return settings;
}

function readTls({ tlsCert, tlsKey, tlsSelfSigned, service, caFile }: Flags): Settings['tls'] {
  if (tlsSelfSigned) {
    if (tlsCert || tlsKey) throw new UsageError('--tls-self-signed, or --tls-cert with --tls-key: choose one of them');
    return { service: service === undefined ? undefined : readService(service), caFile };
  }
  if (!tlsCert && !tlsKey) {
    throw new UsageError(
      'there is no certificate: give --tls-cert FILE and --tls-key FILE, or --tls-self-signed to try things out',
    );
  }
  if (!tlsKey) throw new UsageError('--tls-cert without --tls-key: give the file with its private key, too');
  if (!tlsCert) throw new UsageError('--tls-key without --tls-cert: give the file with its certificate, too');
  if (service !== undefined || caFile !== undefined) {
    throw new UsageError('--service and --ca-file are for --tls-self-signed: leave them out with --tls-cert');
  }
  return { cert: tlsCert, key: tlsKey };
}

function readService(text: string): ServiceName {
  const service = parseServiceName(text);
  if (!service) throw new UsageError(`--service ${text}: expected NAMESPACE/NAME, such as hotmount/webhook`);
  return service;
}

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
  ] = await Promise.all([
    import('../observability/logger.ts'),
    import('../observability/metrics.ts'),
    import('../observability/version.ts'),
    import('../policy/index.ts'),
    import('./open-policy.ts'),
    import('../admission/index.ts'),
  ]);
  const { tls, drainSeconds: seconds } = settings;
  log = createLogger(settings.logLevel);
  const metrics = createWebhookMetrics(VERSION);
  const warnOfNamespaceLabels = (policy: Policy): void => {
    const rules = rulesOnNamespaceLabels(policy);
    if (rules.length > 0) log?.warn({ rules }, NO_NAMESPACE_LABELS);
  };
  const policy = openPolicy(settings.policy, log, {
    onChange(policy) {
      metrics.policyReload('success');
      warnOfNamespaceLabels(policy);
    },
    onError(error) {
      metrics.policyReload('failure');
      log?.error(`policy not reloaded, the last good one stays in force: ${error.message}`);
    },
  });
  warnOfNamespaceLabels(policy.current());
  const webhook = await admission.startWebhook({
    policy,
    certificates:
      'cert' in tls
        ? admission.openCertificateFiles(tls, log)
        : handedOn(admission.selfSigned(tls.service), tls.caFile),
    log,
    metrics,
    host: settings.host,
    port: settings.port,
    metricsPort: settings.metricsPort,
  });
  log.info(
    {
      url: webhook.url,
      metricsUrl: webhook.metricsUrl,
      policy: settings.policy ?? 'built-in',
      certificate: 'cert' in tls ? tls.cert : 'self-signed',
      version: VERSION,
      startMs: Math.round(performance.now()),
    },
    'serving',
  );

  const signal = await signalled;
  log.info({ signal, seconds }, 'draining: not ready, still serving');
  await webhook.drain(seconds);
  log.info('drained and closed');
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
