import { attribute } from './sysfs.ts';

// Bits of linux/input-event-codes.h.
const REL_X = 0;
const REL_Y = 1;
const ABS_X = 0;
const ABS_Y = 1;
const BTN_LEFT = 0x110;
const BTN_JOYSTICK = 0x120;
const BTN_GAMEPAD = 0x130;
const BTN_TOOL_PEN = 0x140;
const BTN_TOOL_FINGER = 0x145;
const BTN_STYLUS = 0x14b;
/** KEY_ESC to KEY_S: what udev takes for a whole keyboard. */
const KEYBOARD = 0xff_ff_ff_fen;

/**
 * What udev calls an input device in its links: `kbd`, `mouse`, `joystick`; empty for others (systemd, src/udev/udev-builtin-input_id.c and
 * rules.d/60-persistent-input.rules).
 * @param path the device's directory below `/sys/devices`
 */
export function inputKind(path: string): 'kbd' | 'mouse' | 'joystick' | '' {
  const [key, relative, absolute] = ['key', 'rel', 'abs'].map((name) =>
    bitmap(attribute(path, `device/capabilities/${name}`)),
  ) as [bigint, bigint, bigint];
  const hasAbsolute = has(absolute, ABS_X) && has(absolute, ABS_Y);
  const isTablet = hasAbsolute && (has(key, BTN_STYLUS) || has(key, BTN_TOOL_PEN));
  const isTouchpad = hasAbsolute && has(key, BTN_TOOL_FINGER);
  const isMouse = has(key, BTN_LEFT) && (hasAbsolute || (has(relative, REL_X) && has(relative, REL_Y)));
  if (hasAbsolute && !isTablet && !isTouchpad && !isMouse && (has(key, BTN_JOYSTICK) || has(key, BTN_GAMEPAD))) {
    return 'joystick';
  }
  if (isTablet || isTouchpad || isMouse) return 'mouse';
  return (key & KEYBOARD) === KEYBOARD ? 'kbd' : '';
}

const has = (bits: bigint, bit: number): boolean => ((bits >> BigInt(bit)) & 1n) === 1n;

/** sysfs prints words of 64 bits in hexadecimal, the highest first, without leading zeros. */
function bitmap(text: string): bigint {
  if (!/^[0-9a-f]+( [0-9a-f]+)*$/.test(text)) return 0n;
  return BigInt(
    `0x${text
      .split(' ')
      .map((word) => word.padStart(16, '0'))
      .join('')}`,
  );
}
