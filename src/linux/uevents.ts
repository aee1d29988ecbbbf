import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { O_CLOEXEC } from './constants.ts';
import { SystemCallError } from './errors.ts';
import { check, errno, libc } from './libc.ts';
import { watchReadiness } from './readiness.ts';
import { parseUevent, type Uevent } from './uevent.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_KOBJECT_UEVENT = 15;
const KERNEL_GROUP = 1;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const { EINTR, EAGAIN, ENOBUFS } = constants.errno;
/** UEVENT_BUFFER_SIZE is 2 KiB, synthetic variables included; more is not the kernel's. */
const DATAGRAM_BYTES = 8192;
/** A storm of events leaves everything else its turn after as many. */
const EVENTS_A_TURN = 512;

/** What one turn has read from the socket. */
export interface UeventBatch {
  readonly events: readonly Uevent[];
  /** The kernel had to drop events (`ENOBUFS`): whatever is derived from them has to be read again. */
  readonly overflow: boolean;
  /** When it was received, in ms of `performance.timeOrigin + performance.now()`. */
  readonly receivedAt: number;
}

export interface UeventOptions {
  /** Only events for which this is true. */
  readonly isWanted?: (event: Uevent) => boolean;
  /** Receive buffer in bytes; beyond net.core.rmem_max it takes CAP_NET_ADMIN. */
  readonly receiveBuffer?: number;
}

export interface UeventListener {
  close(): void;
}

/**
 * Listens for kernel uevents. Works without any privilege in each network namespace that belongs to the initial user namespace.
 * @param onFailure nothing is heard any more, although it was
 * @throws SystemCallError if the socket cannot be opened
 */
export function listenForUevents(
  { isWanted = () => true, receiveBuffer = 16 << 20 }: UeventOptions,
  onBatch: (batch: UeventBatch) => void,
  onFailure: (error: Error) => void,
): UeventListener {
  const socket = openSocket(receiveBuffer);
  const buffer = Buffer.alloc(DATAGRAM_BYTES);
  let isOpen = true;
  let isCongested = false;

  const readAll = (): void => {
    if (!isOpen) return;
    const receivedAt = performance.timeOrigin + performance.now();
    const { events, overflow, failure, isDrained } = receive(socket, buffer, isWanted);
    isCongested ||= overflow;
    if (events.length > 0 || isCongested) onBatch({ events, overflow: isCongested, receivedAt });
    // From ENOBUFS until its queue is empty, the kernel drops events and does not say so again (af_netlink.c, NETLINK_S_CONGESTED):
    // a resync is due after that as well.
    if (isDrained) isCongested = false;
    if (failure !== undefined) onFailure(new SystemCallError('recvfrom', failure, 'uevent socket'));
    else if (!isDrained) setImmediate(readAll);
  };

  let unwatch: () => void;
  try {
    unwatch = watchReadiness(socket, 'readable', readAll);
  } catch (error) {
    closeSync(socket);
    throw error;
  }
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      unwatch();
      closeSync(socket);
    },
  };
}

function openSocket(receiveBuffer: number): number {
  const socket = check(libc.socket(AF_NETLINK, SOCK_RAW | O_CLOEXEC, NETLINK_KOBJECT_UEVENT), 'socket');
  try {
    const size = new Int32Array([receiveBuffer]);
    if (libc.setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, size, 4) < 0) {
      check(libc.setsockopt(socket, SOL_SOCKET, SO_RCVBUF, size, 4), 'setsockopt');
    }
    check(libc.bind(socket, { family: AF_NETLINK, pad: 0, pid: 0, groups: KERNEL_GROUP }, 12), 'bind');
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

interface Received {
  readonly events: Uevent[];
  readonly overflow: boolean;
  /** Nothing is left in the socket. */
  readonly isDrained: boolean;
  /** The errno with which reading failed. */
  readonly failure?: number;
}

function receive(socket: number, buffer: Buffer, isWanted: (event: Uevent) => boolean): Received {
  const events: Uevent[] = [];
  let overflow = false;
  for (let count = 0; count < EVENTS_A_TURN; count++) {
    const sender = { family: 0, pad: 0, pid: 0, groups: 0 };
    const length = Number(libc.recvfrom(socket, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC, sender, [12]));
    if (length < 0) {
      const failure = errno();
      if (failure === EAGAIN) return { events, overflow, isDrained: true };
      if (failure === ENOBUFS) overflow = true;
      else if (failure !== EINTR) return { events, overflow, isDrained: false, failure };
      continue;
    }
    // Any process may send to the group's members; only the kernel sends with port id 0, and to the group.
    if (sender.pid !== 0 || sender.groups !== KERNEL_GROUP || length > buffer.length) continue;
    const event = parseUevent(buffer.subarray(0, length));
    if (event && isWanted(event)) events.push(event);
  }
  return { events, overflow, isDrained: false };
}
