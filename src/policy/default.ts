import { readFileSync } from 'node:fs';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

/** The text of the policy that is in force where none is given. */
export const defaultPolicyText = (): string => readFileSync(new URL('default.yaml', import.meta.url), 'utf8');

let parsed: Policy | undefined;

/** The policy in force where none is given: lxcfs for everyone, and the media class `usb`, which no rule allows. */
export function defaultPolicy(): Policy {
  parsed ??= parsePolicy(defaultPolicyText(), { file: 'the built-in policy' });
  return parsed;
}
