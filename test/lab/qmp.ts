import { connect, type Socket } from 'node:net';
import { messageParser } from './messages.ts';

interface Reply {
  id?: number;
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

type Arguments = Record<string, unknown>;

/** A connection to qemu's machine protocol (docs/interop/qmp-spec in qemu's source). */
export class Qmp {
  #socket: Socket;
  #next = 0;
  #pending = new Map<number, (reply: Reply) => void>();
  #watchers = new Set<(reply: Reply) => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    const receive = (reply: Reply) => {
      if (reply.event) for (const watcher of [...this.#watchers]) watcher(reply);
      else if (reply.id !== undefined) this.#pending.get(reply.id)?.(reply);
    };
    socket.on('data', messageParser(receive));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      for (const settle of this.#pending.values()) settle({ error: { class: 'Closed', desc: 'qemu has ended' } });
    });
  }

  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await connected(path));
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** @throws Error with the command and qemu's own words when qemu refuses it or ends */
  async execute(command: string, args: Arguments = {}): Promise<unknown> {
    if (this.#socket.destroyed) throw new Error(`QMP ${command}: qemu has ended`);
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#pending.set(id, resolve);
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    const reply = await promise;
    this.#pending.delete(id);
    if (reply.error) throw new Error(`QMP ${command} ${JSON.stringify(args)}: ${reply.error.desc}`);
    return reply.return;
  }

  /** Removes a device and waits until the guest's controller has let go of it. */
  async deleteDevice(id: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watcher = (reply: Reply) => {
      if (reply.event === 'DEVICE_DELETED' && reply.data?.['device'] === id) resolve();
    };
    const closed = () => reject(new Error(`QMP device_del ${id}: qemu has ended`));
    this.#watchers.add(watcher);
    this.#socket.once('close', closed);
    try {
      await this.execute('device_del', { id });
      await promise;
    } finally {
      this.#watchers.delete(watcher);
      this.#socket.off('close', closed);
      promise.catch(() => {}); // when device_del itself was refused, that error is the one thrown
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A socket connected to a Unix socket. @throws Error of the system, when nobody listens there */
export async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve);
  socket.once('error', reject);
  await promise;
  socket.off('error', reject);
  return socket;
}
