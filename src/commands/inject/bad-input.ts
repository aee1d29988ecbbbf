import { printable } from '../../contract/text.ts';

/**
 * What came in cannot be used. A line a problem, which names the place (`FILE:LINE:COLUMN`) and the remedy, and may quote what came in;
 * the command exits with 2.
 */
export class BadInput extends Error {
  override name = 'BadInput';
  constructor(problems: readonly string[]) {
    super(problems.map((problem) => printable(problem)).join('\n'));
  }
}
