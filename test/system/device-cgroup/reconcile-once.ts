import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { DeviceGrants, type WantedGrant } from '../../../src/linux/device-cgroup/index.ts';
import { libc } from '../../../src/linux/libc.ts';

/**
 * Reconciles as a daemon would, and is killed before the nth call that changes anything in the kernel.
 *   reconcile-once.ts OWNER N WANTED     (N -1: never; WANTED as JSON)
 */
const [owner, limit, wanted] = process.argv.slice(2) as [string, string, string];
let left = Number(limit);

function step(): void {
  if (left-- === 0) process.kill(process.pid, 'SIGKILL');
}

/** Commands of bpf(2) that only look: by the numbers of linux/bpf.h. */
const LOOKING = [10, 13, 14, 15, 16, 24];

const { syscall, lsetxattr, lremovexattr } = libc;
const counted: Partial<typeof libc> = {
  syscall: Object.assign((...args: Parameters<typeof syscall>) => {
    if (!LOOKING.includes(args[2] as number)) step();
    return syscall(...args);
  }, syscall),
  lsetxattr: Object.assign((...args: Parameters<typeof lsetxattr>) => {
    step();
    return lsetxattr(...args);
  }, lsetxattr),
  lremovexattr: Object.assign((...args: Parameters<typeof lremovexattr>) => {
    step();
    return lremovexattr(...args);
  }, lremovexattr),
};
Object.assign(libc, counted);

const { writeFileSync } = fs;
fs.writeFileSync = (...args) => {
  step();
  writeFileSync(...args);
};
syncBuiltinESMExports();

new DeviceGrants({ owner }).reconcile(JSON.parse(wanted) as WantedGrant[]);
