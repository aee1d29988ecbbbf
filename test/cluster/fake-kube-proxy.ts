import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * Stands in for kube-proxy: listens on a Service's cluster IP, which is a loopback address here, and hands each connection to the
 * next of the Service's endpoints. Those that refuse are passed over, as a kubelet's readiness probe would have them be.
 */
export class FakeKubeProxy {
  /** Ports on 127.0.0.1. */
  endpoints: number[] = [];
  /** Connections taken. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor() {
    // kube-proxy passes packets on as they are: none waits here for the acknowledgement of another.
    this.#server = createServer({ noDelay: true }, (client) => this.#forward(client));
  }

  static async listen(clusterIp: string, port: number): Promise<FakeKubeProxy> {
    const proxy = new FakeKubeProxy();
    proxy.#server.listen(port, clusterIp);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #forward(client: Socket): void {
    this.connections++;
    this.#track(client);
    const candidates = this.endpoints.map((_, i) => this.endpoints[(this.#next + i) % this.endpoints.length] ?? 0);
    this.#next++;
    const tryNext = (): void => {
      const port = candidates.shift();
      if (port === undefined) return void client.destroy();
      const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#track(upstream);
      upstream.once('error', tryNext);
      upstream.once('connect', () => {
        upstream.off('error', tryNext);
        upstream.on('error', () => client.destroy());
        client.on('error', () => upstream.destroy());
        client.pipe(upstream).pipe(client);
      });
    };
    tryNext();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
