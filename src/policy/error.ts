/** One thing that is wrong in a policy. */
export interface PolicyIssue {
  /** From 1, in the file: where the policy lies in a ConfigMap manifest, of the manifest. */
  readonly line: number;
  /** From 1, in UTF-16 code units, as editors count. */
  readonly column: number;
  /** Such as `rules[1].allow.media[0]`; empty for the policy as a whole. */
  readonly path: string;
  /** What is wrong, what was found and what is allowed. */
  readonly message: string;
}

/** What a message lists at most: a file that is not a policy at all has thousands. */
const SHOWN = 50;

/** A text is no policy. Has every reason, in the order of the text; none only where the file itself could not be read. */
export class PolicyError extends Error {
  readonly file: string;
  readonly issues: readonly PolicyIssue[];
  /** Private, to stay out of logs. */
  readonly #text: string;

  constructor(
    file: string,
    issues: readonly PolicyIssue[],
    { summary = '', text = '' }: { summary?: string; text?: string } = {},
  ) {
    const shown = issues.slice(0, SHOWN).map((issue) => `${file}:${describeIssue(issue)}`);
    if (issues.length > SHOWN) shown.push(`… and ${issues.length - SHOWN} more`);
    super(summary === '' ? shown.join('\n') : `${file}: ${summary}`);
    this.name = 'PolicyError';
    this.file = file;
    this.issues = issues;
    this.#text = text;
  }

  /** What the issues are about; empty where the file could not be read. */
  get text(): string {
    return this.#text;
  }
}

/** `12:9: rules[1].allow.media[0]: there is no …` */
export const describeIssue = ({ line, column, path, message }: PolicyIssue): string =>
  `${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
