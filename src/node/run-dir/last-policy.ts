import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isErrno } from '../../linux/errors.ts';
import type { Logger } from '../../observability/logger.ts';
import { findRunDir, type RunDir } from './run-dir.ts';

/** The policy that was in force last. */
export interface LastPolicy {
  /** Where it came from, as an absolute path. */
  readonly file: string;
  readonly text: string;
  /** ISO 8601: since when it is in force on this node. */
  readonly since: string;
}

/** In the run dir, where only a daemon can write: gone with the next boot. */
const NAME = 'last-policy.json';

/**
 * The policy that a daemon of the run dir had in force last, for one that is started while the file is broken or missing.
 * @param file absolute; a policy from another file does not count
 * @returns undefined where there is none
 */
export function readLastPolicy(runDirPath: string, file: string): LastPolicy | undefined {
  try {
    const runDir = findRunDir(runDirPath);
    if (!runDir) return undefined;
    try {
      return read(runDir, file);
    } finally {
      runDir.close();
    }
  } catch {
    // Whatever it is, the start of the daemon meets it next, and says so.
    return undefined;
  }
}

/** Keeps the policy that is in force for the next start. Failing is logged, and no error. @returns since when it is in force */
export function keepLastPolicy(runDir: RunDir, file: string, text: string, log: Logger): string {
  const last = read(runDir, file);
  if (last?.text === text) return last.since;
  const kept: LastPolicy = { file, text, since: new Date().toISOString() };
  const path = `${runDir.work}/${NAME}`;
  try {
    writeFileSync(`${path}.new`, JSON.stringify(kept), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    const { message } = error as Error;
    log.warn(
      `the policy in force could not be kept in the run dir (${message}): a daemon that is started while the file is broken will not find it`,
    );
  }
  return kept.since;
}

function read(runDir: RunDir, file: string): LastPolicy | undefined {
  try {
    const last = JSON.parse(readFileSync(`${runDir.work}/${NAME}`, 'utf8')) as LastPolicy;
    return last.file === file ? last : undefined;
  } catch (error) {
    // There is none, or a daemon was killed while the node ran out of memory for it.
    if (!(error instanceof SyntaxError) && !isErrno(error, 'ENOENT')) throw error;
    return undefined;
  }
}
