import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execute, type Result } from '../execute.ts';

/** Where the node's pods have their cgroups, in each hierarchy. */
export const CGROUP = 'hotmount-node';

/** Of the machine, in a network that nothing leaves. */
export const NODE_ADDRESS = '10.97.0.1';

/** The kubelet sets these for the whole kernel; they are put back. */
const SYSCTLS = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'].map(
  (name) => `/proc/sys/${name}`,
);

/**
 * Process 1 of the machine. `/` is shared, as systemd has it on every node; what a node writes outside the directory given is in memory.
 * Orphans (containerd's shims) are reaped by bash.
 */
const BOOT = `
set -e
directory=$1 address=$2
mount --make-rshared /
# A copy of somebody else's mount would keep their disk busy.
awk -v t="$(dirname "$directory")/" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r -n 1 umount -l
for name in lib log; do mkdir -p "$directory/$name" && mount --bind "$directory/$name" "/var/$name"; done
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/netns
ip link set lo up
ip link add br0 type bridge
ip address add "$address/24" dev br0
ip link set br0 up
ip route add default dev br0
sysctl -qw net.ipv4.ip_forward=1
touch "$directory/booted"
while :; do sleep infinity & wait; done
`;

/** What a node is made on. */
export interface NodeMachine {
  /** Everything that outlives a program, on a disk. */
  readonly directory: string;
  /** Whether its process 1 is systemd, which then makes the cgroups, on cgroup v2. */
  readonly systemd: boolean;
  /** How many times longer everything may take there. */
  readonly slowness: number;
  /** Of the node, for the cluster. */
  readonly address: string;
  /** Where the control plane and kubectl run, in a directory of the same name. Default: on the node itself. */
  readonly controlPlane?: NodeMachine;
  run(command: readonly string[], input?: string, env?: NodeJS.ProcessEnv): Promise<Result>;
  /** Runs a shell script in there. @returns what it printed @throws with what it said where it failed */
  sh(script: string, ...args: string[]): Promise<string>;
  /** Writes a file below the directory, for root alone. */
  write(name: string, text: string): Promise<void>;
  /** Starts a program that serves until it is killed. It outlives whoever started it; its log is `<directory>/<name>.log`. */
  serve(name: string, command: readonly string[], env?: NodeJS.ProcessEnv): Promise<void>;
  /** Sends a signal to what `serve` started. */
  signal(name: string, signal: string): Promise<void>;
  /** Rejects while a program has not ended with all its threads, which may hold a port after it is a zombie. */
  hasEnded(name: string): Promise<void>;
  log(name: string, lines?: number): Promise<string>;
  /** Ends everything in it, and takes back what it has left. Does not mind being called again. */
  stop(): Promise<void>;
}

export interface MachineOptions {
  /** Everything that outlives a program, on a disk. Made, and removed at the end. */
  readonly directory: string;
  /** Ends with this process, however that ends. Else it stays until somebody stops it. */
  readonly attached: boolean;
  /** Whether it gets what pods take: cgroups, settings of the kernel. Default: true. */
  readonly hasPods?: boolean;
}

/**
 * A machine for one node: mount, PID and network namespaces of its own on this kernel. When its process 1 ends, so do all others, and
 * with them every mount. What is left is a directory, cgroups and settings of the kernel, which `stop` takes back.
 */
export class Machine implements NodeMachine {
  readonly directory: string;
  readonly systemd = false;
  readonly slowness = 1;
  readonly address = NODE_ADDRESS;
  /** Of its process 1, out here. */
  readonly pid: number;

  private constructor(directory: string, pid: number) {
    this.directory = directory;
    this.pid = pid;
  }

  /** Ends first what an earlier run has left in the directory. @throws where one is in use */
  static async start({ directory, attached, hasPods = true }: MachineOptions): Promise<Machine> {
    const left = await Machine.find(directory);
    if (left?.owner) throw new Error(`process ${left.owner} has a node in ${directory}: end that first`);
    await (left?.machine ?? new Machine(directory, 0)).stop();
    await mkdir(directory, { recursive: true });
    if (hasPods) {
      await writeFile(join(directory, 'sysctls'), await readSysctls());
      await makeCgroups();
    }
    const unshare = ['--mount', '--pid', '--net', '--fork', '--kill-child=KILL', '--mount-proc'];
    const boot = ['unshare', ...unshare, 'bash', '-c', BOOT, 'node', directory, NODE_ADDRESS];
    const command = attached ? ['setpriv', '--pdeathsig', 'KILL', ...boot] : boot;
    const log = join(directory, 'boot.log');
    const child = spawn('sh', ['-c', `exec "$@" >"${log}" 2>&1`, 'sh', ...command], {
      stdio: 'ignore',
      detached: !attached,
    });
    child.unref();
    for (let tries = 0; !existsSync(join(directory, 'booted')); tries++) {
      if (child.exitCode !== null || tries > 6000) throw new Error(`the machine did not start: ${await tail(log)}`);
      await sleep(10);
    }
    const machine = new Machine(directory, childOf(child));
    const owner = attached ? process.pid : 0;
    await writeFile(
      join(directory, 'machine'),
      `${machine.pid} ${startTime(machine.pid)} ${owner} ${startTime(owner)}`,
    );
    return machine;
  }

  /** One that was started with this directory. `owner`: the process that it ends with, where that is still there. */
  static async find(directory: string): Promise<{ machine: Machine; owner: number } | undefined> {
    const text = await readFile(join(directory, 'machine'), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const [pid, started, owner, ownerStarted] = text.split(' ');
    const isThere = startTime(Number(pid)) === started;
    const isOwned = owner !== '0' && startTime(Number(owner)) === ownerStarted;
    return { machine: new Machine(directory, isThere ? Number(pid) : 0), owner: isOwned ? Number(owner) : 0 };
  }

  get isRunning(): boolean {
    return this.pid !== 0 && existsSync(`/proc/${this.pid}`);
  }

  /** What comes before a command to have it run in there. */
  get enter(): string[] {
    return ['nsenter', '--target', String(this.pid), '--mount', '--pid', '--net', '--'];
  }

  /** Runs a program in there. Never rejects. */
  run(command: readonly string[], input = '', env: NodeJS.ProcessEnv = process.env): Promise<Result> {
    return execute([...this.enter, ...command], input, env);
  }

  async sh(script: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(['sh', '-ec', script, 'sh', ...args]);
    if (code !== 0)
      throw new Error(`${script.trim().slice(0, 200)} failed with ${code} on the node:\n${stderr || stdout}`);
    return stdout.trim();
  }

  async write(name: string, text: string): Promise<void> {
    await mkdir(dirname(this.#file(name)), { recursive: true });
    await writeFile(this.#file(name), text, { mode: 0o600 });
  }

  async serve(name: string, command: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<void> {
    const script = `echo $$ >"${this.#file(`${name}.pid`)}"; exec "$@" >>"${this.#file(`${name}.log`)}" 2>&1`;
    const [file = '', ...args] = [...this.enter, 'sh', '-c', script, 'sh', ...command];
    spawn(file, args, { stdio: 'ignore', detached: true, cwd: this.directory, env }).unref();
  }

  async hasEnded(name: string): Promise<void> {
    await this.sh('! [ -e "/proc/$(cat "$1")" ]', this.#file(`${name}.pid`));
  }

  async signal(name: string, signal: string): Promise<void> {
    await this.sh('kill -s "$1" "$(cat "$2")"', signal, this.#file(`${name}.pid`));
  }

  /** The last lines that a program said. */
  log(name: string, lines = 20): Promise<string> {
    return tail(this.#file(`${name}.log`), lines);
  }

  /** Ends everything in it, and returns before the kernel is done with that. */
  kill(): void {
    if (this.isRunning) process.kill(this.pid, 'SIGKILL');
  }

  async stop(): Promise<void> {
    this.kill();
    for (let tries = 0; this.isRunning && tries < 3000; tries++) await sleep(10);
    if (existsSync(this.#file('sysctls'))) {
      await removeCgroups();
      await writeSysctls(this.#file('sysctls'));
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.directory, name);
  }
}

/** unshare(1) has one child: process 1. */
const childOf = ({ pid }: ChildProcess): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);

/** With its number it names a process for good. */
function startTime(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

const tail = async (file: string, lines = 20): Promise<string> =>
  (await readFile(file, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-lines).join('\n');

/** The kubelet makes its own below this one. */
async function makeCgroups(): Promise<void> {
  const top = '/sys/fs/cgroup';
  const isV2 = existsSync(join(top, 'cgroup.controllers'));
  const hierarchies = isV2 ? [''] : await readdir(top);
  for (const name of hierarchies) {
    if (isV2 || existsSync(join(top, name, 'cgroup.procs'))) await mkdir(join(top, name, CGROUP), { recursive: true });
  }
}

/** Empty ones, the innermost first: their processes are gone, or going. */
async function removeCgroups(): Promise<void> {
  const hierarchies = (await readdir('/sys/fs/cgroup')).map((name) => join('/sys/fs/cgroup', name, CGROUP));
  for (const top of [...hierarchies, join('/sys/fs/cgroup', CGROUP)].filter(existsSync)) {
    const below = await readdir(top, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      // The kubelet's last processes take theirs away as they end.
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const directories = below
      .filter((entry) => entry.isDirectory())
      .map(({ parentPath, name }) => join(parentPath, name));
    for (const directory of [top, ...directories].sort((a, b) => b.length - a.length)) {
      for (let tries = 0; existsSync(directory); tries++) {
        const error = await rmdir(directory).then(
          () => undefined,
          (reason: NodeJS.ErrnoException) => reason,
        );
        if (error?.code === 'EBUSY' && tries < 3000) await sleep(10);
        else if (error && error.code !== 'ENOENT') throw error;
      }
    }
  }
}

async function readSysctls(): Promise<string> {
  const values = await Promise.all(SYSCTLS.map(async (path) => [path, (await readFile(path, 'utf8')).trim()]));
  return JSON.stringify(Object.fromEntries(values));
}

async function writeSysctls(from: string): Promise<void> {
  const text = await readFile(from, 'utf8').catch(() => '{}');
  for (const [path, value] of Object.entries(JSON.parse(text) as Record<string, string>)) {
    if ((await readFile(path, 'utf8')).trim() !== value) await writeFile(path, value);
  }
}
