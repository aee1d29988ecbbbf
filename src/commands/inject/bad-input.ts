/** What came in cannot be used. Each problem names the place (`FILE:LINE:COLUMN`) and the remedy; the command exits with 2. */
export class BadInput extends Error {
  override name = 'BadInput';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
