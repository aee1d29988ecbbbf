import type { Logger } from '../observability/logger.ts';
import {
  defaultPolicy,
  defaultPolicyText,
  openPolicyFile,
  type PolicyFile,
  type PolicyListener,
} from '../policy/index.ts';

/**
 * The policy of a program that goes on running: the file, read again when it changes, which the log then says (and why not, where it is
 * broken), or the built-in one for undefined.
 * @param last where it has been kept, the policy that was in force before the program was started: asked for where the file is broken
 * @throws PolicyError where there is none to begin with
 */
export function openPolicy(
  file: string | undefined,
  log: Logger,
  listener: PolicyListener,
  last: () => { readonly text: string; readonly since: string } | undefined = () => undefined,
): PolicyFile {
  if (file === undefined) return { current: defaultPolicy, text: defaultPolicyText, close() {} };
  const logging: PolicyListener = {
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
  };
  try {
    return openPolicyFile(file, logging);
  } catch (error) {
    const kept = last();
    if (kept === undefined) throw error;
    log.error(`${file} is broken: starting with the policy that was in force before, on this node since ${kept.since}`);
    return openPolicyFile(file, logging, kept.text);
  }
}

/** Wherever the policy comes from. */
export const logNotReloaded = (log: Logger, { message }: { readonly message: string }): void =>
  log.error(`policy not reloaded, the last good one stays in force: ${message}`);
