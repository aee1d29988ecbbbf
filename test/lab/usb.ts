import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connected, type Qmp } from './qmp.ts';

export interface UsbStickOptions {
  /** The image file on the host, raw; see `makeStick`. */
  image: string;
  /** The USB serial number. Default: one of its own for each stick. */
  serial?: string;
  /** SCSI vendor, at most 8 characters (sysfs `device/vendor`). Default `HOTMOUNT`. */
  vendor?: string;
  /** SCSI model, at most 16 characters (sysfs `device/model`). Default `LAB STICK`. */
  model?: string;
  /** The removable bit, which sticks have and most USB disks do not. Default true. */
  removable?: boolean;
  /** A stick with its write protection on. Default false. */
  readOnly?: boolean;
}

export interface UsbStick {
  readonly serial: string;
  /** The kernel's name of the disk (`sda`), when the guest has it with its medium and `/dev/sda` exists. */
  disk(): Promise<string>;
  /** Pulls it out without asking anyone. The guest notices some milliseconds later; the image is free for the next plug. Once is enough. */
  pull(): Promise<void>;
  /** Takes the medium out of a removable device that stays, as out of a card reader's slot. The guest finds out when it looks. */
  ejectMedium(): Promise<void>;
  /** Puts a medium into the empty slot. */
  insertMedium(image: string): Promise<void>;
}

export interface DiscDrive {
  /** The kernel's name of the drive (`sr0`). */
  disk(): Promise<string>;
  pull(): Promise<void>;
  insertDisc(image: string): Promise<void>;
  /** Opens the tray, or asks the guest for it, where that has locked it. */
  pressButton(): Promise<void>;
}

export interface UsbSerial {
  readonly serial: string;
  /** The far end of the wire: what the guest writes to the port arrives here, what is written here the guest reads. */
  readonly wire: Socket;
  /** The kernel's name of the port (`ttyUSB0`), when the guest has it. */
  tty(): Promise<string>;
  pull(): Promise<void>;
}

/** Runs a shell command in the guest and gives what it prints. */
type Ask = (command: string) => Promise<string>;

/** The audiodev of virtual-machine.ts, for `usb-audio`. */
export const SILENCE = 'silence';

/** As many as virtual-machine.ts gives the controller. */
const PORTS = Array.from({ length: 15 }, (_, index) => index + 1);

/**
 * The guest's USB bus, plugged and pulled through qemu. What undoes a plug is put on a stack step by step, so that a plug that fails
 * half-way leaves nothing, and pulling is the same stack from its top.
 */
export class UsbBus {
  #qmp: Qmp;
  #ask: Ask;
  #directory: string;
  #count = 0;
  #taken = new Set<number>();
  #plugged = new Set<AsyncDisposableStack>();

  constructor(qmp: Qmp, ask: Ask, directory: string) {
    this.#qmp = qmp;
    this.#ask = ask;
    this.#directory = directory;
  }

  async plugStick(options: UsbStickOptions): Promise<UsbStick> {
    const { image, vendor = 'HOTMOUNT', model = 'LAB STICK', removable = true, readOnly = false } = options;
    if (vendor.length > 8 || model.length > 16) {
      throw new Error(`a stick's vendor has 8 characters at most and its model 16: "${vendor}", "${model}"`); // SCSI INQUIRY
    }
    const { id, serial } = this.#identify('stick', options.serial);
    const disk = `${id}-disk`;
    await using plugging = new AsyncDisposableStack();
    const port = await this.#takePort(plugging);
    let medium: string | undefined = await this.#openImage(image, readOnly);
    plugging.defer(async () => {
      if (medium) await this.#closeImage(medium);
    });

    // usb-bot rather than usb-storage: only a SCSI disk of its own can be given a vendor and a model. It is attached when complete.
    const stick = { driver: 'usb-bot', id, bus: 'xhci.0', port: `${port}`, serial, attached: false };
    const lun = {
      driver: 'scsi-hd',
      id: disk,
      bus: `${id}.0`,
      drive: medium,
      vendor,
      product: model,
      serial,
      removable,
    };
    await this.#qmp.execute('device_add', stick);
    plugging.defer(() => this.#qmp.deleteDevice(id));
    await this.#qmp.execute('device_add', lun);
    await this.#qmp.execute('qom-set', { path: `/machine/peripheral/${id}`, property: 'attached', value: true });

    return {
      serial,
      disk: () =>
        this.#nameInGuest(port, 'host*/target*/*/block/*', '[ -b "/dev/$name" ] && [ "$(< "$path/size")" != 0 ]'),
      pull: this.#pullOf(plugging),
      ejectMedium: async () => {
        if (!medium) return;
        await this.#qmp.execute('blockdev-open-tray', { id: disk, force: true });
        await this.#qmp.execute('blockdev-remove-medium', { id: disk });
        await this.#closeImage(medium);
        medium = undefined;
      },
      insertMedium: async (next) => {
        if (medium) throw new Error(`${id}: there is a medium in it: eject that first`);
        medium = await this.#openImage(next, readOnly);
        await this.#qmp.execute('blockdev-insert-medium', { id: disk, 'node-name': medium });
        await this.#qmp.execute('blockdev-close-tray', { id: disk });
      },
    };
  }

  /** An optical drive, empty at first. */
  async plugDiscDrive(): Promise<DiscDrive> {
    const { id } = this.#identify('drive', undefined);
    const disk = `${id}-disk`;
    await using plugging = new AsyncDisposableStack();
    const port = await this.#takePort(plugging);
    let medium: string | undefined;
    const stick = { driver: 'usb-bot', id, bus: 'xhci.0', port: `${port}`, attached: false };
    await this.#qmp.execute('device_add', stick);
    plugging.defer(() => this.#qmp.deleteDevice(id));
    // A drive that was empty at first keeps what is in it from being closed, also when it has gone.
    plugging.defer(async () => {
      if (!medium) return;
      await this.#qmp.execute('blockdev-open-tray', { id: disk, force: true });
      await this.#qmp.execute('blockdev-remove-medium', { id: disk });
      await this.#closeImage(medium);
    });
    await this.#qmp.execute('device_add', { driver: 'scsi-cd', id: disk, bus: `${id}.0` });
    await this.#qmp.execute('qom-set', { path: `/machine/peripheral/${id}`, property: 'attached', value: true });
    return {
      disk: () => this.#nameInGuest(port, 'host*/target*/*/block/*', '[ -b "/dev/$name" ]'),
      pull: this.#pullOf(plugging),
      insertDisc: async (image) => {
        medium = await this.#openImage(image, true);
        await this.#qmp.execute('blockdev-open-tray', { id: disk });
        await this.#qmp.execute('blockdev-insert-medium', { id: disk, 'node-name': medium });
        await this.#qmp.execute('blockdev-close-tray', { id: disk });
      },
      // Of a locked drive, this asks the guest, and fails.
      pressButton: async () => void (await this.#qmp.execute('blockdev-open-tray', { id: disk }).catch(() => {})),
    };
  }

  async plugSerial(options: { serial?: string } = {}): Promise<UsbSerial> {
    const { id, serial } = this.#identify('serial', options.serial);
    await using plugging = new AsyncDisposableStack();
    const port = await this.#takePort(plugging);

    const path = join(this.#directory, id);
    const backend = { type: 'socket', data: { addr: { type: 'unix', data: { path } }, server: true, wait: false } };
    await this.#qmp.execute('chardev-add', { id, backend });
    plugging.defer(async () => void (await this.#qmp.execute('chardev-remove', { id })));
    const wire = await connected(path);
    plugging.defer(() => void wire.destroy());

    // always-plugged: the adapter is there whether or not somebody listens at the far end, as with a real one.
    const adapter = {
      driver: 'usb-serial',
      id,
      chardev: id,
      bus: 'xhci.0',
      port: `${port}`,
      serial,
      'always-plugged': true,
    };
    await this.#qmp.execute('device_add', adapter);
    plugging.defer(() => this.#qmp.deleteDevice(id));

    return {
      serial,
      wire,
      tty: () => this.#nameInGuest(port, 'ttyUSB*', '[ -c "/dev/$name" ]'),
      pull: this.#pullOf(plugging),
    };
  }

  /** Any other device that qemu has, such as `usb-kbd`; what is not among the properties is its driver's default. */
  async plug(driver: string, properties: Readonly<Record<string, unknown>> = {}): Promise<{ pull(): Promise<void> }> {
    const { id } = this.#identify('usb', undefined);
    await using plugging = new AsyncDisposableStack();
    const port = await this.#takePort(plugging);
    await this.#qmp.execute('device_add', { driver, id, bus: 'xhci.0', port: `${port}`, ...properties });
    plugging.defer(() => this.#qmp.deleteDevice(id));
    return { pull: this.#pullOf(plugging) };
  }

  /** Pulls whatever is plugged in. */
  async pullAll(): Promise<void> {
    for (const device of [...this.#plugged]) await device.disposeAsync();
  }

  #identify(kind: string, serial: string | undefined): { id: string; serial: string } {
    const number = ++this.#count;
    return { id: `${kind}${number}`, serial: serial ?? `LAB${String(number).padStart(6, '0')}` };
  }

  /** Resolves when the guest has noticed that what was in there is gone: until then, the new device would be taken for the old. */
  async #takePort(plugging: AsyncDisposableStack): Promise<number> {
    const port = PORTS.find((candidate) => !this.#taken.has(candidate));
    if (!port) throw new Error(`all ${PORTS.length} USB ports of the lab are taken: pull something first`);
    this.#taken.add(port);
    plugging.defer(() => void this.#taken.delete(port));
    await this.#ask(`while ls -d /sys/bus/usb/devices/?-${port}; do sleep 0.02; done > /dev/null 2>&1`);
    return port;
  }

  /** The plug has succeeded: from here on only `pull` undoes it, once. */
  #pullOf(plugging: AsyncDisposableStack): () => Promise<void> {
    const device = plugging.move();
    this.#plugged.add(device);
    return async () => {
      this.#plugged.delete(device);
      await device.disposeAsync();
    };
  }

  /** Waits for what the kernel makes of the device in a port. `ready` is a bash condition over `$path` (in sysfs) and `$name`. */
  #nameInGuest(port: number, pattern: string, ready: string): Promise<string> {
    const look = `for path in /sys/bus/usb/devices/?-${port}/?-${port}:*/${pattern}; do name=\${path##*/}; ${ready} && break; done`;
    return this.#ask(`until ${look}; do sleep 0.02; done 2>/dev/null; echo "$name"`);
  }

  async #openImage(filename: string, readOnly: boolean): Promise<string> {
    const node = `medium${++this.#count}`;
    const file = { driver: 'file', filename, discard: 'unmap' };
    await this.#qmp.execute('blockdev-add', { driver: 'raw', 'node-name': node, 'read-only': readOnly, file });
    return node;
  }

  /** qemu lets go of an image some milliseconds after the device that used it. */
  async #closeImage(node: string): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#qmp.execute('blockdev-del', { 'node-name': node });
        return;
      } catch (error) {
        if (attempt === 3000) throw error;
        await sleep(20);
      }
    }
  }
}
