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
  /** Pulls it out without asking anyone. The guest notices some milliseconds later; the image is free for the next plug. */
  pull(): Promise<void>;
  /** Takes the medium out of a removable device that stays, as out of a card reader's slot. The guest finds out when it looks. */
  ejectMedium(): Promise<void>;
  /** Puts a medium into the empty slot. */
  insertMedium(image: string): Promise<void>;
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

/** The guest's USB bus: 15 ports, plugged and pulled through qemu. */
export class UsbBus {
  #qmp: Qmp;
  #ask: Ask;
  #directory: string;
  #count = 0;
  #ports = new Set<number>();

  constructor(qmp: Qmp, ask: Ask, directory: string) {
    this.#qmp = qmp;
    this.#ask = ask;
    this.#directory = directory;
  }

  async plugStick(options: UsbStickOptions): Promise<UsbStick> {
    const { image, vendor = 'HOTMOUNT', model = 'LAB STICK', removable = true, readOnly = false } = options;
    const id = `stick${++this.#count}`;
    const serial = options.serial ?? `LAB${String(this.#count).padStart(6, '0')}`;
    const port = this.#takePort();
    let medium = await this.#openImage(`${id}-medium1`, image, readOnly);
    // usb-bot rather than usb-storage: only a SCSI disk of its own can be given a vendor and a model. It is plugged in complete.
    await this.#qmp.execute('device_add', {
      driver: 'usb-bot',
      id,
      bus: 'xhci.0',
      port: `${port}`,
      serial,
      attached: false,
    });
    const drive = { drive: medium, vendor, product: model, serial, removable };
    await this.#qmp.execute('device_add', { driver: 'scsi-hd', id: `${id}-disk`, bus: `${id}.0`, ...drive });
    await this.#qmp.execute('qom-set', { path: `/machine/peripheral/${id}`, property: 'attached', value: true });
    const block = `/sys/bus/usb/devices/?-${port}/?-${port}:*/host*/target*/*/block/*`;
    return {
      serial,
      disk: () =>
        this.#ask(`until for d in ${block}; do [ -b "/dev/\${d##*/}" ] && read -r n < "$d/size" && [ "$n" != 0 ] && break; done
        do sleep 0.02; done; echo "\${d##*/}"`),
      pull: async () => {
        await this.#qmp.deleteDevice(id);
        if (medium) await this.#closeImage(medium);
        this.#ports.delete(port);
      },
      ejectMedium: async () => {
        await this.#qmp.execute('blockdev-open-tray', { id: `${id}-disk`, force: true });
        await this.#qmp.execute('blockdev-remove-medium', { id: `${id}-disk` });
        await this.#closeImage(medium);
        medium = '';
      },
      insertMedium: async (next) => {
        medium = await this.#openImage(`${id}-medium${++this.#count}`, next, readOnly);
        await this.#qmp.execute('blockdev-insert-medium', { id: `${id}-disk`, 'node-name': medium });
        await this.#qmp.execute('blockdev-close-tray', { id: `${id}-disk` });
      },
    };
  }

  async plugSerial(options: { serial?: string } = {}): Promise<UsbSerial> {
    const id = `serial${++this.#count}`;
    const serial = options.serial ?? `TTY${String(this.#count).padStart(6, '0')}`;
    const port = this.#takePort();
    const path = join(this.#directory, id);
    const addr = { type: 'unix', data: { path } };
    await this.#qmp.execute('chardev-add', {
      id,
      backend: { type: 'socket', data: { addr, server: true, wait: false } },
    });
    const wire = await connected(path);
    const device = {
      driver: 'usb-serial',
      id,
      chardev: id,
      bus: 'xhci.0',
      port: `${port}`,
      serial,
      'always-plugged': true,
    };
    await this.#qmp.execute('device_add', device);
    const tty = `/sys/bus/usb/devices/?-${port}/?-${port}:*/ttyUSB*`;
    return {
      serial,
      wire,
      tty: () =>
        this.#ask(
          `until for d in ${tty}; do [ -c "/dev/\${d##*/}" ] && break; done; do sleep 0.02; done; echo "\${d##*/}"`,
        ),
      pull: async () => {
        await this.#qmp.deleteDevice(id);
        wire.destroy();
        await this.#qmp.execute('chardev-remove', { id });
        this.#ports.delete(port);
      },
    };
  }

  #takePort(): number {
    for (let port = 1; port <= 15; port++) {
      if (this.#ports.has(port)) continue;
      this.#ports.add(port);
      return port;
    }
    throw new Error('all 15 USB ports of the lab are taken: pull something first');
  }

  async #openImage(node: string, filename: string, readOnly: boolean): Promise<string> {
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
        if (attempt === 100) throw error;
        await sleep(20);
      }
    }
  }
}
