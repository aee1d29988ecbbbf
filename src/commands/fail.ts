import type { Command } from 'commander';
import { endLogs } from '../observability/last-words.ts';
import type { PolicyError } from '../policy/index.ts';
import { colorsFor } from './color.ts';
import { whatIsMissing } from './missing.ts';

/** Wrong flags; the message says which, and what is right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Known by name, so that nothing is loaded for it. 2: wrong usage or bad input; 1: the job cannot be done. */
const EXIT_CODES: Readonly<Record<string, 1 | 2>> = {
  UsageError: 2,
  BadInput: 2,
  PolicyError: 2,
  CertificateError: 2,
  KubernetesError: 2,
  FileError: 1,
  ListenError: 1,
};

/**
 * Ends a command for an error that its user can do something about. Any other is thrown on, to be seen with its stack; where `otherwise`
 * is given, it is one to be told and to end with, too.
 */
export async function fail(command: Command, error: unknown, otherwise?: 1): Promise<never> {
  await endLogs();
  const { name } = error as Error;
  const message = whatIsMissing(error) ?? (error as Error).message;
  const exitCode = EXIT_CODES[name] ?? otherwise;
  if (exitCode === undefined) throw error;
  if (name === 'PolicyError') {
    const { explainPolicyError } = await import('../policy/index.ts');
    const colors = colorsFor(process.stderr);
    return command.error(explainPolicyError(error as PolicyError, colors).trimEnd(), { exitCode });
  }
  // What begins with a place (FILE:LINE:COLUMN) is left as it is, for editors to follow.
  return command.error(name === 'BadInput' ? message : `error: ${message}`, { exitCode });
}
