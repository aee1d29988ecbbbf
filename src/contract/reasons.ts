import { REASONS, type ReasonEntry } from './reason-table.ts';
import { printable } from './text.ts';

export { REASONS } from './reason-table.ts';

export type Reason = keyof typeof REASONS;

type Placeholders<S> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Placeholders<Rest> : never;
type RemedyOf<E> = E extends { remedy: infer Remedy } ? Remedy : never;
export type ReasonParameters<R extends Reason> = {
  readonly [P in Placeholders<(typeof REASONS)[R]['sentence'] | RemedyOf<(typeof REASONS)[R]>>]: string;
};

/** One reason, about one thing. */
export interface Finding {
  readonly reason: Reason;
  /** The sentence filled in, and what to do. */
  readonly message: string;
  /** The sentence alone, for where the remedy would not fit. */
  readonly cause: string;
}

/** What there is to say, in the words of the table, with the parameters in their places. */
export function finding<R extends Reason>(reason: R, parameters: ReasonParameters<R>): Finding {
  const { sentence, remedy }: ReasonEntry = REASONS[reason];
  const cause = fill(sentence, parameters);
  return { reason, cause, message: remedy === undefined ? cause : `${cause}: ${fill(remedy, parameters)}` };
}

const fill = (sentence: string, parameters: Readonly<Record<string, string>>): string =>
  sentence.replace(/\{(\w+)\}/g, (_, name: string) => printable(parameters[name] ?? '', MAX_PARAMETER));

/** Names and keys are foreign, and lists of thousands help nobody. */
const MAX_PARAMETER = 1000;

/** Whether a finding keeps the object out, rather than being a warning, under the policy's onViolation. */
export function isDenial(reason: Reason, onViolation: 'deny' | 'warn'): boolean {
  const { kind } = REASONS[reason];
  return kind === 'invalid' || kind === 'conflict' || (kind === 'refused' && onViolation === 'deny');
}
