import { readFileSync } from 'node:fs';
import { FileError, fileProblem, type WatchedFiles, watchFiles } from '../files/index.ts';
import { PolicyError } from './error.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

/** A policy that may change while the program runs; `current()` is the last good one. */
export type PolicySource = WatchedFiles<Policy>;

export interface PolicyListener {
  /** The file has a new text, and it is good: it is in force from now on. */
  onChange?(policy: Policy): void;
  /** The file is broken, or cannot be read: the last good policy stays in force. */
  onError?(error: PolicyError): void;
  /** The file cannot be watched, and is looked at now and then instead. */
  onUnwatched?(problem: string): void;
}

/** A policy that comes as a text. */
export interface PolicyFile extends PolicySource {
  /** Of the policy in force. */
  text(): string;
}

/**
 * The policy in a file that is watched. Does not keep the process alive by itself.
 * @param fallback the text of the policy that is in force until there is a good one in the file: then the listener is told what is wrong there
 * @throws PolicyError where the file cannot be read or understood at first and there is no fallback, or that is broken too
 */
export function openPolicyFile(path: string, listener: PolicyListener = {}, fallback?: string): PolicyFile {
  let text = fallback ?? '';
  const parse = (source: string): Policy => {
    const policy = parsePolicy(source, { file: path });
    text = source;
    return policy;
  };
  try {
    const watched = watchFiles(
      [path],
      ([source = '']) => parse(source),
      {
        onChange: (policy) => listener.onChange?.(policy),
        onError: (error) => listener.onError?.(asPolicyError(error, path)),
        onUnwatched: (problem) => listener.onUnwatched?.(problem),
      },
      fallback === undefined ? undefined : parse(fallback),
    );
    return { ...watched, text: () => text };
  } catch (error) {
    throw asPolicyError(error, path);
  }
}

/** The text of a policy file, which may also be a pipe. Throws a PolicyError without issues where it cannot be read. */
export function readPolicyText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw asPolicyError(error, path);
  }
}

/** Also where the fault is ours, for a policy that cannot be read must not take away the one in force: the cause tells. */
function asPolicyError(error: unknown, path: string): PolicyError {
  if (error instanceof PolicyError) return error;
  const summary = error instanceof FileError ? error.problem : fileProblem(error);
  const refused = new PolicyError(path, [], { summary });
  refused.cause = error;
  return refused;
}
