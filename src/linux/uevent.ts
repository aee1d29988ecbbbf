/** A kernel uevent (lib/kobject_uevent.c). */
export interface Uevent {
  /** `add`, `remove`, `change`, `move`, `online`, `offline`, `bind`, `unbind`. */
  readonly action: string;
  /** Below `/sys`, with a leading slash. */
  readonly devpath: string;
  readonly subsystem: string;
  /** All variables, the three above among them. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Parses one netlink datagram: `add@/devices/…`, then `KEY=value`s, each ended by a zero byte. Undefined for anything else: udevd's
 * own messages start with `libudev`, and what contradicts its own header is not the kernel's.
 */
export function parseUevent(datagram: Uint8Array): Uevent | undefined {
  if (datagram.at(-1) !== 0) return undefined;
  const [header = '', ...lines] = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength - 1)
    .toString('utf8')
    .split('\0');
  const env: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const equals = line.indexOf('=');
    if (equals <= 0) return undefined;
    env[line.slice(0, equals)] = line.slice(equals + 1);
  }
  const { ACTION: action, DEVPATH: devpath, SUBSYSTEM: subsystem } = env;
  if (!action || !devpath?.startsWith('/') || !subsystem || header !== `${action}@${devpath}`) return undefined;
  return { action, devpath, subsystem, env };
}
