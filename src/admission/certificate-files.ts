import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../observability/logger.ts';
import { type Certificate, CertificateError, type CertificateSource, checkCertificate } from './certificates.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** Two files are replaced one after the other, or in a burst; look when it has been quiet for so long. */
const SETTLE_MS = 100;
/** Events only say "look now": a directory that was itself replaced sends none, so look anyway. */
const LOOK_ANYWAY_MS = 30_000;

/**
 * A certificate and its key from files, read again when they change. The kubelet updates a mounted Secret by renaming the symlink
 * `..data` beside the files (pkg/volume/util/atomic_writer.go), so what is watched is the directories. A pair that cannot be used
 * is reported, and the last good one stays.
 *
 * Throws CertificateError where the files cannot be used at the start.
 */
export async function openCertificateFiles(files: CertificateFiles, log: Logger): Promise<CertificateSource> {
  let certificate = await load(files);
  let lastProblem: string | undefined;
  let listener = (): void => {};
  let settling: NodeJS.Timeout | undefined;
  warnIfExpired(certificate);

  const look = async (): Promise<void> => {
    try {
      const found = await load(files);
      lastProblem = undefined;
      if (found.cert === certificate.cert && found.key === certificate.key) return;
      certificate = found;
      log.info({ file: files.cert, notAfter: found.notAfter }, 'certificate reloaded');
      warnIfExpired(found);
      listener();
    } catch (error) {
      const problem = (error as Error).message;
      if (problem !== lastProblem) log.error(`certificate not reloaded, the last good one stays in use: ${problem}`);
      lastProblem = problem;
    }
  };
  const lookSoon = (): void => {
    clearTimeout(settling);
    settling = setTimeout(look, SETTLE_MS).unref();
  };

  const watchers = [...new Set([dirname(files.cert), dirname(files.key)])].map((directory) =>
    watchDirectory(directory, lookSoon, log),
  );
  const lookAnyway = setInterval(look, LOOK_ANYWAY_MS).unref();
  // The files may have changed between being read and being watched.
  lookSoon();

  function warnIfExpired({ notAfter }: Certificate): void {
    if (notAfter.getTime() > Date.now()) return;
    log.error(`the certificate ${files.cert} expired at ${notAfter.toISOString()}: clients refuse it, replace it`);
  }

  return {
    current: () => certificate,
    onChange(to) {
      listener = to;
    },
    close() {
      for (const watcher of watchers) watcher.close();
      clearInterval(lookAnyway);
      clearTimeout(settling);
      listener = () => {};
    },
  };
}

async function load(files: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([read(files.cert), read(files.key)]);
  return checkCertificate({ cert, key }, `the certificate ${files.cert}`, `the key ${files.key}`);
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CertificateError(`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

function watchDirectory(directory: string, onEvent: () => void, log: Logger): FSWatcher {
  const watcher = watch(directory, { persistent: false }, onEvent);
  watcher.on('error', (error) => log.warn(`cannot watch ${directory} (${error.message}): looking every 30 s instead`));
  return watcher;
}
