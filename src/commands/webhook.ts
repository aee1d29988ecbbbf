import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import type { CurrentPolicy, Webhook } from '../admission/index.ts';
import { parseServiceName, type ServiceName } from '../admission/names.ts';
import { LOG_LEVELS, type LogLevel } from '../observability/log-levels.ts';

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
        const exitCode = exitCodeOf(error);
        if (exitCode === undefined) throw error;
        command.error(`error: ${(error as Error).message}`, { exitCode });
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

class UsageError extends Error {
  override readonly name = 'UsageError';
}

function readSettings(flags: Flags): Settings {
  const settings = {
    policy: flags.policy,
    tls: readTls(flags),
    host: flags.host,
    port: readNumber('--port', flags.port, 65_535),
    metricsPort: readNumber('--metrics-port', flags.metricsPort, 65_535),
    logLevel: readLogLevel(flags.logLevel),
    drainSeconds: readNumber('--drain-seconds', flags.drainSeconds, 3_600),
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

function readNumber(option: string, text: string, max: number): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= max) return Number(text);
  throw new UsageError(`${option} ${text}: expected a whole number from 0 to ${max}`);
}

function readLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (!level) throw new UsageError(`--log-level ${text}: expected one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

/** The servers are imported here, once it is clear that they are needed: `--help` does without. */
async function serve(settings: Settings): Promise<void> {
  const { tls } = settings;
  const [{ createLogger }, { createWebhookMetrics }, { VERSION }, policies, admission] = await Promise.all([
    import('../observability/logger.ts'),
    import('../observability/metrics.ts'),
    import('../observability/version.ts'),
    import('../policy/index.ts'),
    import('../admission/index.ts'),
  ]);
  const log = createLogger(settings.logLevel);
  const metrics = createWebhookMetrics(VERSION);

  const policy: CurrentPolicy =
    settings.policy === undefined
      ? { current: policies.defaultPolicy, close() {} }
      : policies.openPolicyFile(settings.policy, {
          onChange() {
            metrics.policyReload('success');
            log.info({ policy: settings.policy }, 'policy reloaded');
          },
          onError(error) {
            metrics.policyReload('failure');
            log.error(`policy not reloaded, the last good one stays in force: ${error.message}`);
          },
        });
  const webhook = await admission.startWebhook({
    policy,
    certificates: 'cert' in tls ? admission.openCertificateFiles(tls, log) : admission.selfSigned(tls.service),
    log,
    metrics,
    host: settings.host,
    port: settings.port,
    metricsPort: settings.metricsPort,
  });
  if ('caFile' in tls && tls.caFile !== undefined) await writeCa(tls.caFile, webhook);
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
  await admission.drainOnSignal(webhook, settings.drainSeconds, log);
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
  ({ UsageError: 2, PolicyError: 2, CertificateError: 2, CaFileError: 1, ListenError: 1 })[(error as Error).name];
