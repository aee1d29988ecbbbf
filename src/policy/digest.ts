import { createHash } from 'node:crypto';

/** The first 12 hexadecimal digits of the SHA-256 of a policy's text: tells whether a node has the policy that the ConfigMap has. */
export const digestOf = (policyText: string): string =>
  createHash('sha256').update(policyText).digest('hex').slice(0, 12);
