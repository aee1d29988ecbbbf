interface EndingLog {
  end(): Promise<void>;
  endSync(): void;
}

/** Whose lines come before the last words. */
const logs: EndingLog[] = [];

/** Has a log end before the program says on stderr why it ends. */
export const endBeforeLastWords = (log: EndingLog): void => void logs.push(log);

/** To be awaited before a program says on stderr why it ends: its log comes first, and the cause is the last line. */
export const endLogs = (): Promise<unknown> => Promise.all(logs.map((log) => log.end()));

/** As `endLogs`, where nothing can be waited for. */
export function endLogsSync(): void {
  for (const log of logs) log.endSync();
}
