import { closeSync, writeSync } from 'node:fs';
import { type ChildOptions, type ChildResult, followChild, launchChild, runChild } from './child.ts';
import type { SpawnedChild } from './spawn.ts';

/** Each line is a word of the command that it becomes. */
const SCRIPT = 'while IFS= read -r word; do set -- "$@" "$word"; done; exec "$@"';

/**
 * A child process that has been started beforehand: as the user and in the directory that the next program needs, it waits to be told which
 * one that is. Saves most of what starting a program takes. It ends when this process does.
 */
export class SpareChild {
  readonly #options: Pick<ChildOptions, 'uid' | 'cwd' | 'encoding'>;
  #waiting: SpawnedChild | undefined;

  constructor(options: Pick<ChildOptions, 'uid' | 'cwd' | 'encoding'> = {}) {
    this.#options = options;
  }

  /** Has one wait, if none does. To be called when there is nothing more urgent. */
  prepare(): void {
    try {
      this.#waiting ??= launchChild('sh', ['-c', SCRIPT, 'sh'], { ...this.#options, stdin: 'pipe' });
    } catch {
      // Whoever wants to run a program is told why.
    }
  }

  /** As `runChild`, in the one that waits, and then at once; in a new one where none does. */
  async run(command: string, args: readonly string[], deadline: number): Promise<ChildResult> {
    const child = this.#waiting;
    this.#waiting = undefined;
    if (child && tell(child, [command, ...args])) return followChild(child, command, { ...this.#options, deadline });
    return runChild(command, args, { ...this.#options, deadline });
  }
}

/** False where it cannot be told: someone has killed it while it waited, or a word has a newline in it. Then it ends. */
function tell(child: SpawnedChild, words: readonly string[]): boolean {
  const stdin = child.stdin as number;
  try {
    if (words.some((word) => word.includes('\n'))) throw new Error('a word is a line');
    writeSync(stdin, `${words.join('\n')}\n`);
    return true;
  } catch {
    for (const pipe of [child.stdout, child.stderr]) pipe.destroy();
    return false;
  } finally {
    closeSync(stdin);
  }
}
