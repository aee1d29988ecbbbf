import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandOptions, GuestAgent } from './guest-agent.ts';
import type { Exit, GuestProcess } from './guest-process.ts';
import { CHECKOUT, type GuestSystem, prepareArm64, thisMachine } from './guest-system.ts';
import { buildInitrd } from './initrd.ts';
import { connected, Qmp } from './qmp.ts';
import { whyLabCannotRun } from './requirements.ts';
import { makeStickImage, type StickSpec } from './stick-image.ts';
import { type DiscDrive, UsbBus, type UsbSerial, type UsbStick, type UsbStickOptions } from './usb.ts';
import { makeLabDirectory, type Network, VirtualMachine } from './virtual-machine.ts';

export interface LabOptions {
  /** Default: this machine's own, with its files. `arm64`: Debian's packages for it, under emulation. */
  architecture?: 'amd64' | 'arm64';
  /** The guest's first program: a shell that only starts the agent (default), or the machine's own systemd (some seconds more). */
  init?: 'shell' | 'systemd';
  /** Default 2048. What the guest writes anywhere is kept in here too. */
  memoryMiB?: number;
  /** Added to the kernel's command line. */
  kernelOptions?: string;
  /** Default 1: on a busy host two emulated processors wait for each other, and booting costs twice the time. */
  cpus?: number;
  /** A raw image on the host: /dev/vda, after `modprobe virtio_blk`. Default: none. */
  disk?: string;
  /** eth0, after `modprobe virtio_net`. Default: none. */
  network?: Network;
  /** How long the boot may take. Default 300,000: it takes five seconds, on a busy machine many times that. */
  bootTimeoutMs?: number;
  /** Is told what takes longer than a moment. Default: standard error. */
  progress?: (line: string) => void;
}

export interface RunOptions extends CommandOptions {
  /** What the command reads from its standard input. Default: nothing. */
  input?: string | Uint8Array;
  /** Default 240,000: an emulated machine takes its time. Then the command and all it started are killed, and `run` throws. */
  timeoutMs?: number;
}

export interface RunResult extends Exit {
  stdout: string;
  stderr: string;
}

const CONSOLE_TAIL_LINES = 40;

/**
 * A running virtual machine with a USB bus, root in it, and this machine's files as its own: Node, koffi, runc and lxcfs are there
 * as installed here. Everything the guest writes is gone when it stops.
 *
 * A daemon and a container side by side, and a stick for them:
 *
 *     const daemon = lab.spawn('node src/cli.ts node --policy /tmp/policy.yaml');
 *     await daemon.waitForOutput(/ready/);
 *     const stick = await lab.plugUsbStick({ image: await lab.makeStick({ fs: 'vfat', label: 'DATA' }) });
 *     await lab.waitUntil('runc exec pod test -d /media/usb/DATA');
 *     await stick.pull();
 */
export class Lab {
  /** For files of the test's own (images, say); removed by {@link Lab.stop}. Not visible in the guest: use {@link Lab.writeFile}. */
  readonly directory: string;
  /** Pid of qemu on the host. */
  readonly pid: number;
  #machine: VirtualMachine;
  #agent: GuestAgent;
  #qmp: Qmp;
  #usb: UsbBus;

  /** Use {@link startLab}. */
  constructor(directory: string, machine: VirtualMachine, agent: GuestAgent, qmp: Qmp) {
    this.directory = directory;
    this.pid = machine.pid;
    this.#machine = machine;
    this.#agent = agent;
    this.#qmp = qmp;
    this.#usb = new UsbBus(qmp, (command) => this.sh(command), directory);
  }

  /** False once the guest has powered off, has panicked or was stopped. */
  get running(): boolean {
    return this.#machine.running;
  }

  /**
   * Runs a bash command in the guest, beside any others, until it ends (what it leaves running in the background may go on). `node` is
   * the one in node_modules, the working directory the checkout (writable; what is written stays in the guest).
   *
   * @throws Error when the time is up or the guest ends, with what the command has written, and in the latter case the console's end
   */
  async run(command: string, { input = '', timeoutMs = 240_000, ...options }: RunOptions = {}): Promise<RunResult> {
    const process = this.spawn(command, options);
    if (input.length > 0) process.write(input);
    process.end();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      process.kill('SIGKILL');
      late.reject(process.error(`still running after ${timeoutMs} ms, killed`));
    }, timeoutMs);
    try {
      const exit = await Promise.race([process.exited, late.promise]);
      return { ...exit, stdout: process.stdout, stderr: process.stderr };
    } finally {
      clearTimeout(timer);
    }
  }

  /** As {@link Lab.run}, for commands that must succeed: gives standard output without the trailing newlines. @throws Error otherwise */
  async sh(command: string, options: RunOptions = {}): Promise<string> {
    const { code, signal, stdout, stderr } = await this.run(command, options);
    if (code === 0) return stdout.replace(/\n+$/, '');
    const written = [stdout && `stdout: ${stdout}`, stderr && `stderr: ${stderr}`].filter(Boolean).join('\n');
    throw new Error(`in the guest: ${command}: ${signal ?? `exit code ${code}`}\n${written}`.trimEnd());
  }

  /** Starts a bash command in the guest that is to go on running: a daemon, a writer. It ends with the lab at the latest. */
  spawn(command: string, options: CommandOptions = {}): GuestProcess {
    // --norc: its standard input is a socket, from which bash would conclude that rshd runs it, and read ~/.bashrc.
    return this.#agent.start(['/bin/bash', '--norc', '-c', command], options);
  }

  /** Waits until a bash command succeeds in the guest; looks 20 times a second. @throws Error when it does not within `timeoutMs` */
  async waitUntil(command: string, { timeoutMs = 240_000, ...options }: RunOptions = {}): Promise<void> {
    await this.sh(`until { ${command}\n}; do sleep 0.05; done > /dev/null`, { timeoutMs, ...options });
  }

  /** Writes a file in the guest, with the directories above it. */
  async writeFile(path: string, content: string | Uint8Array): Promise<void> {
    await this.sh('mkdir -p "$(dirname "$FILE")" && cat > "$FILE"', { input: content, env: { FILE: path } });
  }

  /** Makes the image of a stick, for {@link Lab.plugUsbStick}, in the lab's directory. */
  makeStick(spec: StickSpec): Promise<string> {
    return makeStickImage(this.directory, spec);
  }

  /** Plugs an optical drive in, with no disc in it. The guest needs its module: `modprobe sr_mod`. */
  plugDiscDrive(): Promise<DiscDrive> {
    return this.#usb.plugDiscDrive();
  }

  /** Plugs a USB stick in. The guest notices some milliseconds later: await the handle's `disk()`. */
  plugUsbStick(options: UsbStickOptions): Promise<UsbStick> {
    return this.#usb.plugStick(options);
  }

  /** Plugs an FTDI serial adapter in. The guest notices some milliseconds later: await the handle's `tty()`. */
  plugUsbSerial(options: { serial?: string } = {}): Promise<UsbSerial> {
    return this.#usb.plugSerial(options);
  }

  /** Plugs any other device in that qemu has, such as `usb-kbd`. */
  plugUsb(driver: string, properties: Readonly<Record<string, unknown>> = {}): Promise<{ pull(): Promise<void> }> {
    return this.#usb.plug(driver, properties);
  }

  /** What the guest's kernel and the agent wrote to the serial console (warnings and worse; `dmesg` in the guest has all). */
  console(): string {
    return this.#machine.console();
  }

  /** Between two tests: kills what was spawned and still runs, pulls what is still plugged in. Files, mounts, containers stay. */
  async reset(): Promise<void> {
    if (!this.running) return;
    await this.#agent.killAll();
    await this.#usb.pullAll();
  }

  /**
   * Has systemd reboot the guest, and waits until it takes commands again. Its disk stays, and so does what is plugged in; other files and
   * all processes are gone.
   * @throws Error when the time is up, or the guest ends
   */
  async reboot(timeoutMs = 300_000): Promise<void> {
    const back = this.#agent.rebooted();
    // Otherwise qemu ends when the guest reboots, as it does by panicking.
    await this.#qmp.execute('set-action', { reboot: 'reset' });
    this.spawn('systemctl reboot');
    const late = setTimeout(
      () => this.#agent.fail(new Error(`the guest did not reboot in ${timeoutMs} ms`)),
      timeoutMs,
    );
    await back.finally(() => clearTimeout(late));
    await this.#qmp.execute('set-action', { reboot: 'shutdown' });
  }

  /**
   * Has systemd end what runs, unmount what it can, and switch the machine off.
   * @throws Error when the time is up
   */
  async powerOff(timeoutMs: number): Promise<void> {
    // It ends before the machine does, with an error or without one.
    this.spawn('systemctl poweroff').exited.catch(() => {});
    const late = setTimeout(() => this.#machine.stop(), timeoutMs);
    const how = await this.#machine.ended;
    clearTimeout(late);
    if (how !== 'exit code 0')
      throw new Error(`the guest did not power off in ${timeoutMs} ms\n${consoleTail(this.#machine)}`);
  }

  /** Ends the guest as by pulling its power cord, and removes its files. May be called twice. */
  async stop(): Promise<void> {
    await this.#machine.stop();
    this.#qmp.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/**
 * Boots a guest and waits until it takes commands, some five seconds. The first time ever, Debian's kernel is fetched (70 MB).
 * Whoever starts a lab stops it; should the process die before, qemu dies with it.
 *
 * @throws Error when something is missing (with the packages to install), or the guest does not come up (with its console)
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const { init = 'shell', memoryMiB = 2048, cpus = 1, bootTimeoutMs = 300_000, kernelOptions = '' } = options;
  const progress = options.progress ?? ((line: string) => process.stderr.write(`lab: ${line}\n`));
  const obstacle = whyLabCannotRun();
  if (obstacle) throw new Error(obstacle);
  const { kernel, root, busybox, node, koffi, hardware }: GuestSystem =
    options.architecture === 'arm64' ? await prepareArm64(progress) : await thisMachine(progress);
  const directory = await makeLabDirectory();
  let machine: VirtualMachine | undefined;
  try {
    const variables = {
      MODULES: kernel.modules.slice(root === '/' ? 0 : root.length),
      CHECKOUT,
      INIT: init,
      LAB_NODE: node,
      ...(koffi === undefined ? {} : { LAB_KOFFI: koffi }),
      LAB_AGENT: join(CHECKOUT, 'test/lab/guest/agent.ts'),
    };
    const initrd = await buildInitrd({ kernel, busybox, directory, variables });
    machine = new VirtualMachine({
      directory,
      hardware,
      root,
      checkout: CHECKOUT,
      kernelImage: kernel.image,
      initrd,
      memoryMiB,
      cpus,
      kernelOptions,
      disk: options.disk,
      network: options.network,
    });
    return await connectLab(directory, machine, bootTimeoutMs);
  } catch (error) {
    await machine?.stop();
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function connectLab(directory: string, machine: VirtualMachine, bootTimeoutMs: number): Promise<Lab> {
  const giveUp = (what: string) => new Error(`${what}\n${consoleTail(machine)}`);
  const socket = (name: string) => retry(() => connected(join(directory, name)), machine);
  const agentSocket = await socket('agent').catch((error) =>
    Promise.reject(giveUp(`qemu did not start: ${error.message}`)),
  );
  const qmp = await Qmp.connect(join(directory, 'qmp'));
  const agent = new GuestAgent(agentSocket, CHECKOUT);
  machine.ended.then((how) => {
    agent.fail(giveUp(`the guest has ended (qemu: ${how})`));
    agentSocket.destroy();
  });
  const timer = setTimeout(() => agent.fail(giveUp(`the guest did not come up in ${bootTimeoutMs} ms`)), bootTimeoutMs);
  try {
    await agent.ready;
  } finally {
    clearTimeout(timer);
  }
  return new Lab(directory, machine, agent, qmp);
}

/** qemu makes its sockets a moment after its start. */
async function retry<T>(attempt: () => Promise<T>, machine: VirtualMachine): Promise<T> {
  for (let left = 3000; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || !machine.running) throw error;
      await sleep(20);
    }
  }
}

function consoleTail(machine: VirtualMachine): string {
  const all = machine.console().trimEnd().split('\n');
  // What a panic prints after its cause is as long as the kernel likes.
  const panic = all.findLastIndex((line) => line.includes('Kernel panic'));
  const tail = Math.max(0, all.length - CONSOLE_TAIL_LINES);
  const lines = all.slice(panic === -1 ? tail : Math.min(panic, tail));
  return `the end of its console:\n${lines.join('\n')}`;
}
