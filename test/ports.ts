import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that the kernel gives away by itself (net.ipv4.ip_local_port_range): nobody else gets one before it is used. */
const [FIRST, LAST] = [20_000, 30_000];
/** Test processes begin at different places. */
let next = FIRST + ((process.pid * 97) % (LAST - FIRST));

/** Ports that nothing listens on, on loopback, for programs that cannot tell which one they took. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    next = next + 1 < LAST ? next + 1 : FIRST;
    if (await isFree(next)) ports.push(next);
  }
  return ports;
}

export const freePort = async (): Promise<number> => (await freePorts(1))[0] as number;

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  await new Promise((resolve) => server.close(resolve));
  return true;
}
