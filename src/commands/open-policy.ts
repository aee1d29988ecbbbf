import type { Logger } from '../observability/logger.ts';
import { defaultPolicy, openPolicyFile, type PolicyListener, type PolicySource } from '../policy/index.ts';

/**
 * The policy of a program that goes on running: the file, read again when it changes, which the log then says (and why not, where it is
 * broken), or the built-in one for undefined. Throws PolicyError.
 */
export function openPolicy(file: string | undefined, log: Logger, listener: PolicyListener): PolicySource {
  if (file === undefined) return { current: defaultPolicy, close() {} };
  return openPolicyFile(file, {
    ...listener,
    onChange(policy) {
      log.info({ policy: file }, 'policy reloaded');
      listener.onChange?.(policy);
    },
    onError(error) {
      logNotReloaded(log, error);
      listener.onError?.(error);
    },
    onUnwatched: (problem) => log.warn(problem),
  });
}

/** Wherever the policy comes from. */
export const logNotReloaded = (log: Logger, { message }: { readonly message: string }): void =>
  log.error(`policy not reloaded, the last good one stays in force: ${message}`);
