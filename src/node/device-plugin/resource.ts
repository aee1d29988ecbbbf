import { rmSync } from 'node:fs';
import type { Logger } from '../../observability/logger.ts';
import { type RegistrationStatus, registrationService } from '../grpc/registration.ts';
import { call, defineService, type Listener, type OnOutcome, type Service } from '../grpc/services.ts';
import { type Listening, serveOnSocket } from '../grpc/sockets.ts';
import { EMPTY, readEmpty, writeEmpty } from '../grpc/wire.ts';
import { readAllocation, writeAllocation, writeDevices } from './messages.ts';

const API_VERSION = 'v1beta1';
/**
 * A kubelet that registers a plugin anew while it is still letting go of the one before may drop both, and ask no more (devicemanager,
 * plugin/v1beta1/handler.go, runClient). It looks again when the socket is made again. ms, longer than a kubelet takes to restart.
 */
const PATIENCE = 10_000;

/**
 * One extended resource of the node, on a socket of its own: a device plugin that hands nothing out and counts alone. The kubelet finds
 * the socket in its `plugins_registry`, and again after each of its starts.
 */
export class CountedResource {
  readonly name: string;
  readonly #socket: string;
  readonly #log: Logger;
  #count = 0;
  #registration: RegistrationStatus | undefined;
  #server: Listening | undefined;
  #again: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isRemoved = false;
  #problem: string | undefined;
  readonly #watchers = new Set<Listener<number>>();

  constructor(name: string, socket: string, log: Logger) {
    this.name = name;
    this.#socket = socket;
    this.#log = log;
  }

  /** Whether the kubelet listens: it then knows the count. */
  get isWatched(): boolean {
    return this.#watchers.size > 0;
  }

  get count(): number {
    return this.#count;
  }

  /** Why it is not counted. */
  get problem(): string | undefined {
    return this.#problem ?? (this.#registration?.registered === false ? this.#registration.error : undefined);
  }

  /** Serves it, and tries again until it can. */
  async serve(): Promise<void> {
    this.#server?.close();
    this.#server = undefined;
    try {
      const server = await serveOnSocket(this.#socket, this.#services());
      this.#problem = undefined;
      if (this.#isClosed) server.close();
      else this.#server = server;
      if (this.#isRemoved) rmSync(this.#socket, { force: true });
    } catch (error) {
      if (this.#problem === undefined) {
        this.#log.error(
          { resource: this.name, err: error },
          'cannot listen on its socket: the resource is not counted',
        );
      }
      this.#problem = `cannot listen on its socket: ${(error as Error).message}; it is tried again`;
      this.#serveLater();
    }
  }

  setCount(count: number): void {
    if (count === this.#count) return;
    this.#count = count;
    for (const watcher of this.#watchers) watcher.send(count);
  }

  /** The socket stays, for the next daemon. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#again);
    for (const watcher of this.#watchers) watcher.end();
    this.#server?.close();
  }

  /** Nobody is to find the socket any more; one that is being made goes at once. */
  remove(): void {
    this.close();
    this.#isRemoved = true;
  }

  #services(): Service[] {
    const onOutcome: OnOutcome = ({ method, code }, error) => {
      if (error) this.#log.error({ resource: this.name, method, code }, error.message);
    };
    const registration = {
      type: 'DevicePlugin',
      name: this.name,
      endpoint: '',
      supportedVersions: [API_VERSION],
    } as const;
    const plugin = defineService(
      `${API_VERSION}.DevicePlugin`,
      {
        GetDevicePluginOptions: call({ read: readEmpty, write: writeEmpty, answer: () => EMPTY }),
        ListAndWatch: call({ read: readEmpty, write: writeCount, watch: (_, listener) => this.#watch(listener) }),
        Allocate: call({ read: readAllocation, write: writeAllocation, answer: (containers) => containers }),
      },
      onOutcome,
    );
    return [plugin, registrationService(registration, (status) => this.#onRegistration(status), onOutcome)];
  }

  #watch(listener: Listener<number>): () => void {
    clearTimeout(this.#again);
    this.#watchers.add(listener);
    listener.send(this.#count);
    return () => {
      this.#watchers.delete(listener);
      if (!this.isWatched) this.#serveLater();
    };
  }

  #serveLater(): void {
    clearTimeout(this.#again);
    if (this.#isClosed) return;
    this.#again = setTimeout(() => {
      if (!this.isWatched) void this.serve();
    }, PATIENCE).unref();
  }

  #onRegistration(status: RegistrationStatus): void {
    this.#registration = status;
    if (status.registered) this.#log.info({ resource: this.name }, 'the kubelet has registered the resource');
    else this.#log.error({ resource: this.name }, `the kubelet does not register the resource: ${status.error}`);
  }
}

/** The devices are numbers: which of them a pod has is nothing to anybody. */
const writeCount = (count: number): Buffer => writeDevices(Array.from({ length: count }, (_, i) => `${i + 1}`));
