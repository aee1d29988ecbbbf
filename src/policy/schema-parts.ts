import * as z from 'zod';
import { quote } from '../contract/suggest.ts';
import { globProblem } from './globs.ts';

/** What the schemas of the policy are made of. */

/** A text for which `problem` finds nothing; what it finds goes after the quoted text. */
export const text = (problem: (value: string) => string | undefined) =>
  z.string().superRefine((value, context) => {
    const found = problem(value);
    if (found !== undefined) context.addIssue({ code: 'custom', message: `${quote(value)} ${found}` });
  });

/** A list of at least one. */
export const someOf = <T extends z.ZodType>(item: T) => z.array(item).min(1);

/** Of names; "!" excludes. */
export const glob = text((value) => (value === '' ? 'is empty and matches nothing' : globProblem(value)));
/** Globs that may be left out. */
export const globs = (what: string) => someOf(glob).optional().describe(`Globs of ${what}; "!" excludes.`);
