/**
 * Runs in the guest and does what the test says through the virtio serial port: starts processes, feeds them, signals them,
 * reports what they write and how they end. It never interprets a command.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream, createWriteStream, openSync, readdirSync, readFileSync } from 'node:fs';
import { messageParser, PORT_NAME, type Report, type Request } from '../messages.ts';

/** How long after a command's end its output may still trickle in: what it left running may hold the pipes for ever. */
const OUTPUT_GRACE_MS = 250;

const children = new Map<number, ChildProcess>();
const fd = openSync(portDevice(), 'r+');
const port = createWriteStream('', { fd, autoClose: false });

function portDevice(): string {
  const ports = '/sys/class/virtio-ports';
  const name = readdirSync(ports).find((entry) => readFileSync(`${ports}/${entry}/name`, 'utf8').trim() === PORT_NAME);
  if (!name) throw new Error(`no virtio serial port named ${PORT_NAME} in ${ports}`);
  return `/dev/${name}`;
}

function report(message: Report): void {
  port.write(`${JSON.stringify(message)}\n`);
}

function start({ id, argv, cwd, env }: Extract<Request, { type: 'start' }>): void {
  const [program = '', ...args] = argv;
  // `detached` makes it the leader of a process group, which `kill` then reaches as a whole.
  const child = spawn(program, args, { cwd, env: { ...commandEnvironment(), ...env }, detached: true });
  children.set(id, child);
  child.on('spawn', () => report({ type: 'started', id, pid: child.pid ?? 0 }));
  child.on('error', (error) => report({ type: 'failed', id, message: error.message }));
  child.stdin.on('error', () => {}); // EPIPE: it does not read its input
  child.stdout.on('data', (data: Buffer) => report({ type: 'stdout', id, data: data.toString('base64') }));
  child.stderr.on('data', (data: Buffer) => report({ type: 'stderr', id, data: data.toString('base64') }));
  child.on('exit', (code, signal) => {
    const finish = () => {
      if (children.delete(id)) report({ type: 'exited', id, code, signal });
    };
    child.on('close', finish);
    setTimeout(finish, OUTPUT_GRACE_MS);
  });
}

/** The agent's environment without the lab's own variables. */
function commandEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(LAB_|MODULES$|CHECKOUT$|INIT$)/.test(name)),
  );
}

function obey(request: Request): void {
  const child = children.get(request.id);
  switch (request.type) {
    case 'start':
      start(request);
      return;
    case 'stdin':
      child?.stdin?.write(Buffer.from(request.data, 'base64'));
      return;
    case 'stdin-end':
      child?.stdin?.end();
      return;
    case 'kill':
      try {
        if (child?.pid) process.kill(-child.pid, request.signal);
      } catch {
        // ESRCH: the group ended by itself; its exit is being reported
      }
  }
}

// Before a reboot it may have ended within a line.
port.write('\n');
report({ type: 'ready' });
createReadStream('', { fd, autoClose: false }).on('data', messageParser(obey) as (chunk: string | Buffer) => void);
