import type { Logger } from '../../observability/logger.ts';
import { type Held, HeldReports } from '../containers/held-reports.ts';

/** A disk that went lately, and who still has files open on it. */
export interface UnmountReport extends Held {
  readonly name: string;
  readonly className: string;
  readonly directory: string;
  readonly at: string;
}

/** @param onReleased nobody holds the disk of this name any more */
export const createUnmountReports = (log: Logger, onReleased: (name: string) => void): HeldReports<UnmountReport> =>
  new HeldReports(({ name }) => {
    log.info({ disk: name }, 'nobody has files open any more on the disk that went');
    onReleased(name);
  });
