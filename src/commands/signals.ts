/**
 * Resolves with the first SIGTERM or SIGINT; the second calls `onSecond` and ends the process at once, with exit code 1. To be called
 * before anything else: the kernel drops signals without a handler that are sent to PID 1, as a program in a container is (signal(7),
 * pid_namespaces(7)), and a start takes a moment.
 */
export function firstSignal(onSecond?: (signal: NodeJS.Signals) => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isSecond = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (isSecond) {
        onSecond?.(signal);
        process.exit(1);
      }
      isSecond = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  });
}
