import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { selfSigned } from '../../src/admission/certificates/self-signed.ts';

/** Stands in for the kubelet of a node that hangs: takes connections of the API server, and never answers. */
export class FakeHungKubelet {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('secureConnection', (socket) => {
      this.#sockets.add(socket.on('error', () => {}));
      socket.resume();
    });
  }

  static async listen(): Promise<FakeHungKubelet> {
    const { cert, key } = (await selfSigned()).current();
    const kubelet = new FakeHungKubelet(createServer({ cert, key }));
    kubelet.#server.listen(0, '127.0.0.1');
    await once(kubelet.#server, 'listening');
    return kubelet;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
