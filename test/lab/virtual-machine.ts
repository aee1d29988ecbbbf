import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORT_NAME } from './messages.ts';
import { SEARCH_PATH } from './requirements.ts';
import { SILENCE } from './usb.ts';

/** What qemu emulates: no more differs between the guests than this. */
export interface Hardware {
  qemu: string;
  arguments: string[];
  console: string;
}

export const PC: Hardware = { qemu: 'qemu-system-x86_64', arguments: ['-cpu', 'max'], console: 'ttyS0' };
export const ARM64: Hardware = {
  qemu: 'qemu-system-aarch64',
  arguments: ['-machine', 'virt', '-cpu', 'cortex-a72'],
  console: 'ttyAMA0',
};

export interface MachineSettings {
  directory: string;
  hardware: Hardware;
  /** The directory on the host that is the guest's root file system. */
  root: string;
  checkout: string;
  kernelImage: string;
  initrd: string;
  memoryMiB: number;
  kernelOptions: string;
  cpus: number;
  /** The image of a disk, raw. */
  disk?: string | undefined;
  network?: Network | undefined;
}

/** Where the guest's network interface ends on the host. */
export interface Network {
  /** A network namespace, as a file. */
  namespace: string;
  /** The tap device in there. */
  tap: string;
}

const DIRECTORY_PREFIX = 'hotmount-lab-';

/** A qemu process. It ends with the process that started it, however that ends: the kernel sees to it (PR_SET_PDEATHSIG). */
export class VirtualMachine {
  readonly pid: number;
  /** Resolves with how qemu ended. */
  readonly ended: Promise<string>;
  readonly #directory: string;
  #running = true;

  constructor(settings: MachineSettings) {
    this.#directory = settings.directory;
    const log = openSync(join(settings.directory, 'qemu.log'), 'a');
    const { network } = settings;
    const enter = network ? ['nsenter', `--net=${network.namespace}`] : [];
    const command = ['--pdeathsig', 'KILL', ...enter, settings.hardware.qemu, ...qemuArguments(settings)];
    const qemu: ChildProcess = spawn('setpriv', command, {
      stdio: ['ignore', log, log],
      env: { ...process.env, PATH: SEARCH_PATH },
      detached: true, // Ctrl-C in a terminal is for the tests, which then end qemu in order
    });
    closeSync(log);
    this.pid = qemu.pid ?? 0;
    const { promise, resolve } = Promise.withResolvers<string>();
    qemu.on('error', (error) => resolve(error.message));
    qemu.on('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    this.ended = promise;
    promise.then(() => {
      this.#running = false;
      process.off('exit', this.#atExit);
    });
    process.on('exit', this.#atExit);
  }

  get running(): boolean {
    return this.#running;
  }

  /** All that the guest's serial console and qemu itself have said. */
  console(): string {
    const read = (name: string) => {
      const path = join(this.#directory, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : '';
    };
    return `${read('qemu.log')}${read('console.log')}`.replaceAll('\r', '');
  }

  /** Ends qemu by its pid: SIGTERM, on which it flushes its images, and SIGKILL when that takes longer than 5 s. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    process.kill(this.pid, 'SIGTERM');
    const grace = new AbortController();
    await Promise.race([this.ended, sleep(5_000, undefined, { signal: grace.signal }).catch(() => {})]);
    grace.abort();
    if (this.#running) process.kill(this.pid, 'SIGKILL');
    await this.ended;
  }

  #atExit = (): void => {
    if (this.#running) process.kill(this.pid, 'SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  };
}

/** A directory for one lab's files; those of labs whose process is gone (killed before it could clean up) are removed. */
export async function makeLabDirectory(): Promise<string> {
  await removeLeftovers();
  return mkdtemp(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
}

/** Removes the directories of labs whose process no longer exists. */
export async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${DIRECTORY_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function qemuArguments(settings: MachineSettings): string[] {
  const { directory, hardware, root, checkout, kernelImage, initrd, memoryMiB, cpus, kernelOptions } = settings;
  const { disk, network } = settings;
  const socket = (id: string) => `socket,id=${id},path=${join(directory, id)},server=on,wait=off`;
  return [
    ...['-accel', 'tcg,thread=multi', ...hardware.arguments, '-smp', `${cpus}`, '-m', `${memoryMiB}`],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-kernel', kernelImage, '-initrd', initrd],
    // mitigations=off: they slow emulation down and protect nobody here.
    ...['-append', `console=${hardware.console} quiet panic=-1 mitigations=off ${kernelOptions}`],
    ...['-serial', `file:${join(directory, 'console.log')}`],
    ...share('host', root),
    ...share('checkout', checkout),
    ...['-chardev', socket('qmp'), '-mon', 'chardev=qmp,mode=control'],
    ...['-device', 'virtio-serial-pci', '-chardev', socket('agent')],
    ...['-device', `virtserialport,chardev=agent,name=${PORT_NAME}`],
    ...(disk === undefined ? [] : drive(disk)),
    ...(network === undefined ? [] : networkCard(network.tap)),
    ...['-device', 'qemu-xhci,id=xhci,p2=15,p3=15'],
    // For usb-audio: nobody listens.
    ...['-audiodev', `none,id=${SILENCE}`],
  ];
}

/** What the guest has written is lost with the host, not with qemu. */
const drive = (file: string): string[] => [
  ...['-drive', `file=${file},format=raw,if=none,id=disk,cache=unsafe`],
  ...['-device', 'virtio-blk-pci,drive=disk'],
];

const networkCard = (tap: string): string[] => [
  ...['-netdev', `tap,id=network,ifname=${tap},script=no,downscript=no`],
  ...['-device', 'virtio-net-pci,netdev=network'],
];

const share = (tag: string, path: string): string[] => [
  '-virtfs',
  `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
];
