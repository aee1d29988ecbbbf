import { type Logger, pino } from 'pino';
import { endBeforeLastWords } from './last-words.ts';
import type { LogLevel } from './log-levels.ts';
import { StderrStream } from './stderr-stream.ts';

export type { Logger };

/**
 * JSON lines to stderr: logs are for people and collectors, stdout is for programs. Written asynchronously, so that a slow reader of
 * the log never delays an admission; what is left is written at exit.
 */
export function createLogger(level: LogLevel): Logger {
  const stream = new StderrStream();
  endBeforeLastWords(stream);
  process.on('exit', () => stream.flushSync());
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
