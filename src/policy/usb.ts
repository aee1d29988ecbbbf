import { quote } from '../contract/suggest.ts';
import { globProblem } from './globs.ts';

/** `idVendor:idProduct` in lower-case hexadecimal, as lsusb prints it; either half may be a glob. */
const USB_ID =
  /^!?(?:[0-9a-f]{4}|[0-9a-f?*[\]!-]*[?*\]][0-9a-f?*[\]!-]*):(?:[0-9a-f]{4}|[0-9a-f?*[\]!-]*[?*\]][0-9a-f?*[\]!-]*)$/i;

const USB_ID_EXPECTED = 'VENDOR:PRODUCT in hexadecimal, as lsusb prints it, such as "0bda:2838" or "0bda:*"';

/** Why a text is not a glob of USB ids, as a phrase that goes after the quoted text; undefined where it is one. */
export function usbIdProblem(value: string): string | undefined {
  if (USB_ID.test(value)) return globProblem(value);
  const [vendor, product] = value.replaceAll(/0x/gi, '').split(/[:/\s]+/);
  const meant = `${vendor}:${product ?? '*'}`;
  const hint = value !== meant && USB_ID.test(meant) ? `; write ${quote(meant.toLowerCase())}` : '';
  return `is not a USB id; expected ${USB_ID_EXPECTED}${hint}`;
}

/** `class/subclass/protocol` in lower-case hexadecimal; what is left out on the right may be anything. */
const USB_INTERFACE = /^!?[0-9a-f?*]{1,2}(?:\/[0-9a-f?*]{1,2}){0,2}$/i;

/** Why a text is not a glob of USB interfaces, as a phrase that goes after the quoted text; undefined where it is one. */
export function usbInterfaceProblem(value: string): string | undefined {
  if (USB_INTERFACE.test(value)) return undefined;
  return 'is not the class of a USB interface; expected CLASS, or CLASS/SUBCLASS/PROTOCOL, in hexadecimal, such as "03" (keyboards, mice), "0e" (cameras) or "08/06/50" (disks)';
}

/** A glob of whole interfaces: `0e` becomes `0e/*`. */
export const wholeInterface = (glob: string): string =>
  (glob.split('/').length < 3 && !glob.endsWith('*') ? `${glob}/*` : glob).toLowerCase();

/**
 * What is wrong with a USB id where the device's own words are expected: `vendor: ["0bda"]` matches nothing, since the device calls itself
 * "Realtek". @param half which of the two the key is for
 */
export function mistakenUsbId(value: string, half: 'vendor' | 'model'): string | undefined {
  const [, vendor, product] = /^!?(?:0x)?([0-9a-f]{4})(?::(?:0x)?([0-9a-f]{4}|\*))?$/i.exec(value) ?? [];
  if (vendor === undefined) return undefined;
  const id = product !== undefined ? `${vendor}:${product}` : half === 'vendor' ? `${vendor}:*` : `*:${vendor}`;
  const bang = value.startsWith('!') ? '!' : '';
  const words = half === 'vendor' ? 'name of a vendor' : 'name of a model';
  return `looks like a USB id, and ${half} is the ${words}, in the device's own words; write usb: [${quote(bang + id.toLowerCase())}], or ${quote(`${value}*`)} where the name does begin like that`;
}
