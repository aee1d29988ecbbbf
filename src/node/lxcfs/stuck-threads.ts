import { readdirSync, readFileSync } from 'node:fs';
import { isUnreadableProcess } from '../../linux/errors.ts';

/** A thread of lxcfs, at one moment. */
export interface Thread {
  readonly id: string;
  /** The kernel's function that it sleeps in; undefined where it runs, or waits for what comes by itself: a request, or the time. */
  readonly waitsIn: string | undefined;
  /** How often it has been switched: unchanged where it has slept since. */
  readonly switches: string;
}

/** ms. As long as a reader of the probe may take. */
const LIMIT = 4000;

/**
 * Finds the thread of an lxcfs that waits for ever while it answers a request. In 5.0.3 a lock of the load averages, one of a hundred, can
 * be waited for by two threads (lxcfs issue 605): the readers in some cgroups hang then, and those in all others notice nothing.
 */
export class StuckThreads {
  /** Since when each sleeps. `wasAtRest`: also while no request was open, so no reader waits for it. */
  #sleeps = new Map<string, { switches: string; since: number; wasAtRest: boolean }>();

  /**
   * @param requests how many lxcfs has not answered
   * @param now ms
   * @returns where it sleeps, undefined where there is none
   */
  find(threads: readonly Thread[], requests: number, now: number): string | undefined {
    const sleeping = threads.filter(({ waitsIn }) => waitsIn !== undefined);
    this.#sleeps = new Map(
      sleeping.map(({ id, switches }) => {
        const known = this.#sleeps.get(id);
        const sleep = known?.switches === switches ? known : { switches, since: now, wasAtRest: false };
        return [id, { ...sleep, wasAtRest: sleep.wasAtRest || requests === 0 }];
      }),
    );
    return sleeping.find(({ id }) => {
      const sleep = this.#sleeps.get(id);
      return sleep && !sleep.wasAtRest && now - sleep.since >= LIMIT;
    })?.waitsIn;
  }
}

/**
 * The threads that answer requests, and what lxcfs has beside them; its first one only waits for their end.
 * Where the kernel does not name functions (`CONFIG_KALLSYMS`), none of them seems to sleep.
 */
export function threadsOf(pid: number): Thread[] {
  return readdirSync(`/proc/${pid}/task`)
    .filter((id) => id !== String(pid))
    .flatMap((id): Thread[] => {
      try {
        const read = (name: string): string => readFileSync(`/proc/${pid}/task/${id}/${name}`, 'latin1');
        const waitsIn = read('wchan');
        if (waitsIn === '0' || COMES_BY_ITSELF.test(waitsIn)) return [{ id, waitsIn: undefined, switches: '' }];
        return [{ id, waitsIn, switches: (read('status').match(SWITCHES) ?? []).join() }];
      } catch (error) {
        // It has ended since.
        if (!isUnreadableProcess(error)) throw error;
        return [];
      }
    });
}

const COMES_BY_ITSELF = /fuse_dev|nanosleep/;
const SWITCHES = /(?<=ctxt_switches:\s+)\d+/g;
