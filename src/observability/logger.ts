import { type DestinationStream, type Logger, pino } from 'pino';
import { flushBeforeLastWords } from './last-words.ts';
import type { LogLevel } from './log-levels.ts';

export type { Logger };

/** Bytes that wait for a reader of the log who does not read; what comes after is lost, so that the program is not. */
const MAX_BACKLOG = 16 * 1024 * 1024;
/** A line waits this long for company: a write of its own costs more than making it. In milliseconds. */
const FLUSH_AFTER = 20;

/**
 * JSON lines to stderr: logs are for people and collectors, stdout is for programs. Written asynchronously, so that a slow reader of
 * the log never delays an admission; pino flushes at exit.
 */
export function createLogger(level: LogLevel): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    batched(pino.destination({ fd: 2, sync: false, minLength: 8_192, maxLength: MAX_BACKLOG })),
  );
}

function batched(destination: ReturnType<typeof pino.destination>): DestinationStream {
  flushBeforeLastWords(() => destination.flushSync());
  let waiting = false;
  let again = false;
  const flush = () => {
    waiting = false;
    again = true;
    destination.flush();
  };
  // sonic-boom passes over a flush while it writes: what came meanwhile would lie there until somebody logs another line.
  destination.on('drain', () => {
    if (!again) return;
    again = false;
    destination.flush();
  });
  return {
    write(line) {
      destination.write(line);
      if (!waiting) setTimeout(flush, FLUSH_AFTER).unref();
      waiting = true;
    },
  };
}
