import type { Logger } from '../../observability/logger.ts';
import { HeldReports } from '../containers/held-reports.ts';
import type { HolderReport } from '../containers/identity.ts';

/** A disk that went, lately. */
export interface UnmountReport {
  readonly name: string;
  readonly className: string;
  readonly directory: string;
  readonly at: string;
  /** Who still has files open on it. */
  readonly holders: readonly HolderReport[];
}

/** @param onReleased nobody holds the disk of this name any more */
export const createUnmountReports = (log: Logger, onReleased: (name: string) => void): HeldReports<UnmountReport> =>
  new HeldReports(({ name }) => {
    log.info({ disk: name }, 'nobody has files open any more on the disk that went');
    onReleased(name);
  });
