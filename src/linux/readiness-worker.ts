import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { EPOLL_EVENT } from './constants.ts';
import { check, errno, libc } from './libc.ts';

const { EINTR } = constants.errno;
const EVENTS = 64;

const { epoll } = workerData as { epoll: number };
const buffer = Buffer.alloc(EVENTS * EPOLL_EVENT.bytes);

/** Until key 0, which stops it, is among them. */
for (let running = true; running; ) {
  const count = libc.epoll_wait(epoll, buffer, EVENTS, -1);
  if (count < 0 && errno() === EINTR) continue;
  check(count, 'epoll_wait');
  const keys: number[] = [];
  for (let i = 0; i < count; i++) keys.push(buffer.readUInt32LE(i * EPOLL_EVENT.bytes + EPOLL_EVENT.data));
  if (keys.includes(0)) running = false;
  parentPort?.postMessage(keys);
}
