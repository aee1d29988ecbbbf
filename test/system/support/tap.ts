import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type Rig, run } from './rig.ts';

let taps = 0;

/** A character device that really comes and goes, with events: a macvtap, `/dev/tapN`, and the Ethernet device that it needs. */
export class TapDevice {
  /** `tapN`; another one each time it is plugged in. */
  name = '';
  readonly #link: string;

  constructor(rig: Rig) {
    // Interface names have 15 characters.
    this.#link = `hm${process.pid % 100_000}x${taps++}`;
    run('ip', 'link', 'add', `${this.#link}a`, 'type', 'veth', 'peer', 'name', `${this.#link}b`);
    rig.onClose('disk', () => run('ip', 'link', 'del', `${this.#link}a`));
    this.plug();
  }

  /** `major:minor` */
  get number(): string {
    return readFileSync(`/sys/class/macvtap/${this.name}/dev`, 'utf8').trim();
  }

  plug(): void {
    run('ip', 'link', 'add', 'link', `${this.#link}a`, 'name', this.#tap, 'type', 'macvtap', 'mode', 'bridge');
    this.name = readdirSync(`/sys/class/net/${this.#tap}/macvtap`)[0] ?? '';
  }

  unplug(): void {
    if (existsSync(`/sys/class/net/${this.#tap}`)) run('ip', 'link', 'del', this.#tap);
  }

  get #tap(): string {
    return `${this.#link}t`;
  }
}

/** Whether this kernel has macvtap and veth, and `ip` is there to make them. */
export function hasTaps(): boolean {
  const link = `hmp${process.pid % 100_000}`;
  try {
    run('ip', 'link', 'add', `${link}a`, 'type', 'veth', 'peer', 'name', `${link}b`);
  } catch {
    return false;
  }
  try {
    run('ip', 'link', 'add', 'link', `${link}a`, 'name', `${link}t`, 'type', 'macvtap');
    return true;
  } catch {
    return false;
  } finally {
    run('ip', 'link', 'del', `${link}a`);
  }
}
