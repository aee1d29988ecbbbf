import { readMountinfo } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import { isBroken, MEDIA_NOTES, type MediaNote, notesOn } from './notes.ts';
import type { MediaState } from './state.ts';

/** Reads what is to be known of the mounted disks. No event tells that a file system has turned read-only: it is logged when it is seen. */
export class NoteReader {
  readonly #log: Logger;
  readonly #toldBroken = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** As it is now, by disk. */
  read(states: ReadonlyMap<string, MediaState>): ReadonlyMap<string, readonly MediaNote[]> {
    const mounts = new Map(readMountinfo().map((mount) => [mount.id, mount]));
    const notes = new Map<string, readonly MediaNote[]>();
    for (const [name, state] of states) {
      if (state.kind !== 'mounted') continue;
      const { record, main } = state.mounted;
      const now = mounts.get(main[0]?.id ?? -1);
      notes.set(name, notesOn(record, now));
      this.#tell(name, now !== undefined && isBroken(record, now));
    }
    return notes;
  }

  #tell(disk: string, isBrokenNow: boolean): void {
    if (!isBrokenNow) this.#toldBroken.delete(disk);
    else if (!this.#toldBroken.has(disk)) {
      this.#toldBroken.add(disk);
      this.#log.error({ disk, reason: 'turned_read_only' }, MEDIA_NOTES.turned_read_only);
    }
  }
}
