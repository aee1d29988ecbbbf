#!/usr/bin/env node
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { issueCertificate } from '../src/admission/certificates/issue.ts';
import { LOCAL_NAMES, serviceNames } from '../src/admission/certificates/server-names.ts';
import { parseServiceName } from '../src/contract/object-name.ts';

/** Makes a CA and a serving certificate for development. Exit codes: 1 where files are in the way, 2 for wrong flags. */
const command = new Command('node certs/make.ts')
  .description('make a CA and a serving certificate for development')
  .option('--service <namespace/name>', 'also for the names of this Service')
  .option('--host <name...>', 'also for these DNS names and IP addresses', [])
  .option('--days <number>', 'how long they are valid', '30')
  .option('--out <directory>', 'where to put them', join(import.meta.dirname, 'out'))
  .option('--force', 'replace what is there')
  .exitOverride((error) => process.exit(error.code === 'commander.error' || error.exitCode === 0 ? error.exitCode : 2))
  .parse();
const flags = command.opts<{ service?: string; host: string[]; days: string; out: string; force?: true }>();

const service = flags.service === undefined ? undefined : parseServiceName(flags.service);
if (flags.service !== undefined && !service) {
  command.error(`error: --service ${flags.service}: expected NAMESPACE/NAME`, { exitCode: 2 });
}
if (!/^[1-9]\d{0,3}$/.test(flags.days)) {
  command.error(`error: --days ${flags.days}: expected a whole number from 1 to 9999`, { exitCode: 2 });
}

const paths = { ca: join(flags.out, 'ca.crt'), cert: join(flags.out, 'tls.crt'), key: join(flags.out, 'tls.key') };
for (const path of Object.values(paths)) {
  if (!flags.force && (await exists(path))) {
    command.error(`error: ${path} is there already: --force replaces it`, { exitCode: 1 });
  }
}

const names = [...(service ? serviceNames(service) : []), ...flags.host, ...LOCAL_NAMES];
const issued = await issueCertificate({ names, days: Number(flags.days) });
await mkdir(flags.out, { recursive: true });
await replace(paths.key, issued.key, 0o600);
await replace(paths.cert, issued.cert, 0o644);
await replace(paths.ca, issued.ca, 0o644);
process.stderr.write(
  `made ${Object.values(paths).join(', ')}\nfor ${names.join(', ')}, until ${issued.notAfter.toISOString()}\n`,
);

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** By rename, so that a server that watches never reads half a file, and the key never has another mode for a moment. */
async function replace(path: string, text: string, mode: number): Promise<void> {
  const part = `${path}.part`;
  // Of a run that was broken off.
  await rm(part, { force: true });
  await writeFile(part, text, { mode, flag: 'wx' });
  await rename(part, path);
}
