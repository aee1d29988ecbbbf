import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Pool } from 'undici';

/** A webhook in a process of its own, and eight kept-alive connections to it, as an API server would have. */
export interface Server {
  /** Sends the review `count` times over all connections, as fast as answers come. */
  flood(review: string, count: number): Promise<void>;
  /** Sends it `perSecond` times a second for `seconds`, whether answers come or not; each one's milliseconds, sorted. */
  pace(review: string, perSecond: number, seconds: number): Promise<number[]>;
  /** Microseconds of CPU, user and system, since the process began; bytes of memory. */
  usage(): Promise<{ cpu: number; rss: number }>;
  close(): Promise<void>;
}

const COMPILE_CACHE = join(import.meta.dirname, '../../node_modules/.cache/hotmount');

export async function startServer(...args: string[]): Promise<Server> {
  const child = fork(join(import.meta.dirname, 'server.ts'), args, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    // As src/cli.ts starts it.
    execArgv: ['--max-semi-space-size=2'],
    env: {
      ...process.env,
      MALLOC_ARENA_MAX: '1',
      MALLOC_MMAP_THRESHOLD_: '16384',
      MALLOC_TRIM_THRESHOLD_: '65536',
      NODE_COMPILE_CACHE: COMPILE_CACHE,
    },
  });
  const exited = once(child, 'exit');
  const answer = async (): Promise<unknown> => {
    const ended = exited.then(() => Promise.reject(new Error('the server process ended')));
    const [message] = await Promise.race([once(child, 'message'), ended]);
    return message;
  };
  const { url, ca } = (await answer()) as { url: string; ca: string };
  const { post, flood, close } = connectTo(url, ca);
  const usage = async () => {
    child.send('usage');
    const { cpu, rss } = (await answer()) as { cpu: NodeJS.CpuUsage; rss: number };
    return { cpu: cpu.user + cpu.system, rss };
  };
  return {
    usage,
    flood,
    async pace(review, perSecond, seconds) {
      const took: number[] = [];
      const pending: Promise<void>[] = [];
      const start = performance.now();
      for (let i = 0; i < perSecond * seconds; i++) {
        const due = start + (i * 1000) / perSecond;
        while (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, 0.5));
        // From when it was due, not from when it was sent: a late sender hides nothing.
        pending.push(post(review).then(() => void took.push(performance.now() - due)));
      }
      await Promise.all(pending);
      return took.sort((a, b) => a - b);
    },
    async close() {
      await close();
      child.send('close');
      await exited;
    },
  };
}

/** Eight kept-alive connections to a webhook, and what sends reviews over them; each answer must have a patch. */
export function connectTo(url: string, ca: string) {
  const pool = new Pool(url, { connections: 8, pipelining: 1, connect: { ca } });
  const post = async (body: string): Promise<string> => {
    const headers = { 'content-type': 'application/json' };
    const response = await pool.request({ path: '/mutate/pods?timeout=3s', method: 'POST', headers, body });
    const text = await response.body.text();
    if (response.statusCode !== 200 || !text.includes('"patch"')) throw new Error(`unexpected answer: ${text}`);
    return text;
  };
  const flood = async (review: string, count: number): Promise<void> => {
    let left = count;
    const one = async () => {
      while (left-- > 0) await post(review);
    };
    await Promise.all(Array.from({ length: 8 }, one));
  };
  return { post, flood, close: () => pool.close() };
}

/** CPU microseconds of the server for one request. */
export async function cpuPerRequest(server: Server, review: string, count: number): Promise<number> {
  const before = await server.usage();
  await server.flood(review, count);
  return ((await server.usage()).cpu - before.cpu) / count;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
