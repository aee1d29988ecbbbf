import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { O_CLOEXEC } from './constants.ts';
import { SystemCallError } from './errors.ts';
import { check, errno, libc } from './libc.ts';
import { parseUevent, type Uevent } from './uevent.ts';
import type { UeventOptions, UeventWorkerMessage } from './uevents.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_KOBJECT_UEVENT = 15;
const KERNEL_GROUP = 1;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const POLLIN = 1;
const POLLPRI = 2;
const { EINTR, EAGAIN, ENOBUFS } = constants.errno;
/** UEVENT_BUFFER_SIZE is 2 KiB, synthetic variables included; more is not the kernel's. */
const DATAGRAM_BYTES = 8192;
/** So that a storm of events neither grows one message without end nor keeps others waiting. */
const BATCH_EVENTS = 512;
const NOTHING_RECEIVED = { events: [], overflow: false, drained: false };

const {
  subsystems,
  nodesOnly = false,
  receiveBuffer = 16 << 20,
  watchMounts = false,
  stop,
} = workerData as UeventOptions & { stop: number };
const post = (message: UeventWorkerMessage): void => parentPort?.postMessage(message);

try {
  const socket = openSocket();
  post({ type: 'ready' });
  listen(socket);
} catch (error) {
  if (!(error instanceof SystemCallError)) throw error;
  post({ type: 'failed', syscall: error.syscall, errno: error.errno });
}

function openSocket(): number {
  const socket = check(libc.socket(AF_NETLINK, SOCK_RAW | O_CLOEXEC, NETLINK_KOBJECT_UEVENT), 'socket');
  const size = new Int32Array([receiveBuffer]);
  if (libc.setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
    check(libc.setsockopt(socket, SOL_SOCKET, SO_RCVBUF, size, 4), 'setsockopt');
  }
  check(libc.bind(socket, { family: AF_NETLINK, pad: 0, pid: 0, groups: KERNEL_GROUP }, 12), 'bind');
  return socket;
}

/** Until someone writes to the eventfd `stop`. */
function listen(socket: number): void {
  const sources = [
    { fd: stop, events: POLLIN, revents: 0 },
    { fd: socket, events: POLLIN, revents: 0 },
    // This thread's, for the main thread is in another namespace for moments. The kernel notes at each poll which state of the table was seen: no read is needed to arm it again.
    ...(watchMounts ? [{ fd: openSync('/proc/thread-self/mountinfo', 'r'), events: POLLPRI, revents: 0 }] : []),
  ];
  const buffer = Buffer.alloc(DATAGRAM_BYTES);
  let congested = false;
  for (;;) {
    if (libc.poll(sources, sources.length, -1) < 0) {
      if (errno() === EINTR) continue;
      check(-1, 'poll');
    }
    if (sources[0]?.revents) return;
    const receivedAt = performance.timeOrigin + performance.now();
    const { events, overflow, drained } = sources[1]?.revents ? receive(socket, buffer) : NOTHING_RECEIVED;
    congested ||= overflow;
    const mountsChanged = Boolean(sources[2]?.revents);
    if (events.length > 0 || congested || mountsChanged) {
      post({ type: 'batch', events, overflow: congested, mountsChanged, receivedAt });
    }
    // From ENOBUFS until its queue is empty, the kernel drops events and does not say so again (af_netlink.c, NETLINK_S_CONGESTED):
    // a look is due after that as well.
    if (drained) congested = false;
  }
}

function isWanted({ subsystem, env }: Uevent): boolean {
  return (!subsystems || subsystems.includes(subsystem)) && (!nodesOnly || env['DEVNAME'] !== undefined);
}

function receive(socket: number, buffer: Buffer): { events: Uevent[]; overflow: boolean; drained: boolean } {
  const events: Uevent[] = [];
  let overflow = false;
  while (events.length < BATCH_EVENTS) {
    const sender = { family: 0, pad: 0, pid: 0, groups: 0 };
    const length = Number(libc.recvfrom(socket, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC, sender, [12]));
    if (length < 0) {
      if (errno() === EAGAIN) return { events, overflow, drained: true };
      if (errno() === ENOBUFS) overflow = true;
      else if (errno() !== EINTR) check(-1, 'recvfrom');
      continue;
    }
    // Any process may send to the group's members; only the kernel sends with port id 0, and to the group.
    if (sender.pid !== 0 || sender.groups !== KERNEL_GROUP || length > buffer.length) continue;
    const event = parseUevent(buffer.subarray(0, length));
    if (event && isWanted(event)) events.push(event);
  }
  return { events, overflow, drained: false };
}
