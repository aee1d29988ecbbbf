import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { check, libc } from '../../linux/libc.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { instanceWork } from './layout.ts';

/** The pipe that an instance writes to. @returns its path @throws SystemCallError */
export function makeLog(runDir: RunDir, id: string): string {
  const path = instanceWork(runDir, id, 'log');
  check(libc.mkfifo(path, 0o600), 'mkfifo', path);
  return path;
}

/** The first lines are chatter. */
export const LAST_LINES = 3;
/** What was printed last, in one line, to follow a message; empty where that is nothing. */
export const said = (output: readonly string[]): string =>
  output.length > 0 ? `: ${output.slice(-LAST_LINES).join('; ')}` : '';

const LINE_LIMIT = 500;

/** What an instance writes, line by line, for as long as someone listens; never keeps this process running. */
export function readLog(path: string, onLine: (line: string) => void): Socket | undefined {
  try {
    const socket = new Socket({
      fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false,
    });
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(0, LINE_LIMIT);
      for (const line of lines) if (line.trim() !== '') onLine(line.slice(0, LINE_LIMIT));
    });
    socket.on('error', () => {});
    socket.unref();
    return socket;
  } catch {
    // ENOENT: it was removed meanwhile. Whatever else it is, an instance works without its log.
    return undefined;
  }
}
