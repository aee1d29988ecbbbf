import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Result } from '../execute.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import type { NodeBinaries } from './binaries.ts';
import { PODS } from './configuration.ts';
import { makeImagesDisk } from './images-disk.ts';
import { Machine, NODE_ADDRESS, type NodeMachine } from './machine.ts';

const DIRECTORY = join(tmpdir(), 'hotmount-node-lab');
const DISK = `${DIRECTORY}.disk`;
const MEMORY_MIB = 4096;
const GUEST_ADDRESS = '10.97.0.2';
/** ms, for one command in the guest. */
const COMMAND_MS = 600_000;

/** The wire to the guest, in the control plane's network. */
const WIRE = `
ip tuntap add dev tap0 mode tap
ip link set tap0 master br0 up
ip route add "$1" via "$2"
`;

/** After each boot of the guest. As in Machine, what containerd and the kubelet keep is on the disk. */
const BOOT = `
directory=$1 address=$2 gateway=$3
modprobe -a virtio_blk virtio_net
until [ -b /dev/vda ] && [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
mkdir -p "$directory"
mount -o noatime /dev/vda "$directory"
for name in lib log; do mount --bind "$directory/$name" "/var/$name"; done
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
sysctl -qw net.ipv4.ip_forward=1
`;

/**
 * The lab's virtual machine as a node: systemd, cgroup v2 alone, Debian's kernel, a USB bus. It is emulated, so that the control plane runs
 * outside, and the images are unpacked there as well.
 */
export class LabMachine implements NodeMachine {
  readonly directory = DIRECTORY;
  readonly systemd = true;
  readonly slowness = 10;
  readonly address = GUEST_ADDRESS;
  readonly controlPlane: Machine;
  #lab: Lab;

  private constructor(controlPlane: Machine, lab: Lab) {
    this.controlPlane = controlPlane;
    this.#lab = lab;
  }

  get lab(): Lab {
    return this.#lab;
  }

  /** @param image an archive that pods may use, besides the images of `writeImages` */
  static async start(binaries: NodeBinaries, image: string): Promise<LabMachine> {
    const controlPlane = await Machine.start({ directory: DIRECTORY, attached: true, hasPods: false });
    try {
      await makeImagesDisk(DISK, controlPlane, binaries, image);
      await controlPlane.sh(WIRE, PODS, GUEST_ADDRESS);
      return new LabMachine(controlPlane, await boot(controlPlane));
    } catch (error) {
      await controlPlane.stop();
      throw error;
    }
  }

  /**
   * Boots again: what is on the disk stays. The programs of the node do not begin again by themselves.
   * @param end by cutting the power, or as systemd ends a machine. By a reset of the machine, qemu's emulated kernel may hang as it boots.
   * @param plugIn what is plugged in as the machine boots
   */
  async reboot(end: 'power cut' | 'orderly', plugIn: (lab: Lab) => Promise<unknown>): Promise<void> {
    if (end === 'orderly') await this.#lab.powerOff(COMMAND_MS);
    await this.#lab.stop();
    this.#lab = await boot(this.controlPlane, plugIn);
  }

  async run(command: readonly string[], input = '', env: Record<string, string> = {}): Promise<Result> {
    const options = { input, env, timeoutMs: COMMAND_MS };
    const { code, stdout, stderr } = await this.lab.run(command.map(quoted).join(' '), options);
    return { code: code ?? 1, stdout, stderr };
  }

  async sh(script: string, ...args: string[]): Promise<string> {
    return run(this.lab, script, ...args);
  }

  async write(name: string, text: string): Promise<void> {
    await this.lab.writeFile(join(this.directory, name), text);
  }

  async serve(name: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const variables = Object.entries(env).map(([key, value]) => `--setenv=${key}=${value}`);
    const log = `append:${this.directory}/${name}.log`;
    // As the services of containerd and of the kubelet have it: the shims go on without them.
    const properties = ['Delegate=yes', 'KillMode=process', 'TasksMax=infinity', 'LimitNOFILE=1048576'];
    properties.push(`StandardOutput=${log}`, `StandardError=${log}`, `WorkingDirectory=${this.directory}`);
    const options = ['--quiet', '--collect', `--unit=node-${name}`, ...properties.map((text) => `--property=${text}`)];
    await this.sh('exec systemd-run "$@"', ...options, ...variables, ...command);
  }

  async signal(name: string, signal: string): Promise<void> {
    await this.sh('exec systemctl kill --kill-whom=main --signal="$2" "node-$1"', name, signal);
  }

  async hasEnded(name: string): Promise<void> {
    await this.sh('! systemctl --quiet is-active "node-$1"', name);
  }

  log(name: string, lines = 20): Promise<string> {
    return this.sh('tail -n "$1" "$2" || true', String(lines), `${this.directory}/${name}.log`);
  }

  async stop(): Promise<void> {
    await this.lab.stop();
    await this.controlPlane.stop();
    await rm(DISK, { force: true });
  }
}

async function boot(controlPlane: Machine, plugIn: (lab: Lab) => Promise<unknown> = async () => {}): Promise<Lab> {
  const lab = await startLab({
    init: 'systemd',
    memoryMiB: MEMORY_MIB,
    disk: DISK,
    network: { namespace: `/proc/${controlPlane.pid}/ns/net`, tap: 'tap0' },
    kernelOptions: 'net.ifnames=0',
    bootTimeoutMs: 300_000,
  });
  try {
    await plugIn(lab);
    await run(lab, BOOT, DIRECTORY, GUEST_ADDRESS, NODE_ADDRESS);
  } catch (error) {
    await lab.stop();
    throw error;
  }
  return lab;
}

const run = async (lab: Lab, script: string, ...args: string[]): Promise<string> =>
  (await lab.sh(['sh', '-ec', script, 'sh', ...args].map(quoted).join(' '), { timeoutMs: COMMAND_MS })).trim();

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
