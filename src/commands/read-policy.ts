import { text } from 'node:stream/consumers';
import { defaultPolicyText, type Policy, parsePolicy, readPolicyText } from '../policy/index.ts';

/** A policy, and what to call it. */
export interface NamedPolicy {
  readonly name: string;
  readonly policy: Policy;
}

/**
 * The policy that a command reads once: from a file, which may be the manifest of a ConfigMap, from stdin for `-`, or the built-in one
 * for undefined. Rejects with PolicyError.
 */
export async function readPolicy(
  file: string | undefined,
  readStdin: () => Promise<string> = () => text(process.stdin),
): Promise<NamedPolicy> {
  const named = (name: string, source: string) => ({ name, policy: parsePolicy(source, { file: name }) });
  if (file === undefined) return named('the built-in policy', defaultPolicyText());
  return file === '-' ? named('stdin', await readStdin()) : named(file, readPolicyText(file));
}
