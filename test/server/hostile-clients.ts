/**
 * A process of clients that hold what they can of a webhook: `node hostile-clients.ts KIND COUNT PORT`. What is closed is opened again.
 * Prints `holding` once all have been open, and ends with its stdin.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const [kind = '', count = '0', port = '0'] = process.argv.slice(2);
const target = { host: '127.0.0.1', port: Number(port), rejectUnauthorized: false };
const HEAD = 'POST /mutate/pods HTTP/1.1\r\nhost: hostile\r\ncontent-type: application/json\r\n';
const BODY = 7 * 1024 * 1024;
const REOPEN_MS = 2_000;

const KINDS: Record<string, () => Socket> = {
  idle: () => connectTls(target),
  'unfinished handshakes': () => {
    const socket = connectTcp(target);
    // The head of a ClientHello whose rest never comes.
    socket.write(Buffer.from('16030102000100', 'hex'));
    return socket;
  },
  'slow headers': () => {
    const socket = connectTls(target);
    socket.write(`${HEAD}x-more: ${'x'.repeat(8_000)}`);
    const timer = setInterval(() => socket.write('x'), 1_000);
    socket.once('close', () => clearInterval(timer));
    return socket;
  },
  'half bodies': () => {
    const socket = connectTls(target);
    socket.write(`${HEAD}content-length: ${BODY}\r\n\r\n`);
    socket.write(Buffer.alloc(BODY - 1, ' '));
    return socket;
  },
  'bodies in small chunks': () => {
    const socket = connectTls(target);
    socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    socket.write('1\r\n \r\n'.repeat(50_000));
    return socket;
  },
};

const open = KINDS[kind];
if (!open) throw new Error(`no such kind: ${kind}`);
const opened = new Set<number>();
const hold = (index: number): void => {
  const socket = open();
  socket.on('error', () => {});
  socket.resume();
  socket.once('connect', () => {
    opened.add(index);
    if (opened.size === Number(count)) process.stdout.write('holding\n');
  });
  socket.once('close', () => setTimeout(hold, REOPEN_MS, index));
};
for (let index = 0; index < Number(count); index++) hold(index);
process.stdin.once('end', () => process.exit()).resume();
