import { usbPort } from '../../linux/device-path.ts';
import type { Hardware } from '../../linux/hardware.ts';
import { type HardwareMatch, matchesGlobs, matchesGlobsOfAny } from '../../policy/index.ts';

/** What media and device classes match in the same way. Left out, a criterion holds. */
export const is = (globs: readonly string[] | undefined, value: string): boolean =>
  globs === undefined || matchesGlobs(globs, value);

const isAny = (globs: readonly string[] | undefined, values: readonly string[]): boolean =>
  globs === undefined || matchesGlobsOfAny(globs, values);

/** Whether the hardware matches an item of a class. A `path` may end with the USB interface, as in udev's ID_PATH, or not. */
export const isHardware = (entry: HardwareMatch, device: Hardware & { readonly name: string }): boolean =>
  is(entry.devname, device.name) &&
  is(entry.bus, device.bus) &&
  is(entry.vendor, device.vendor) &&
  is(entry.model, device.model) &&
  is(entry.product, device.product) &&
  is(entry.serial, device.serial) &&
  is(entry.usb, device.usb) &&
  isAny(entry.interface, device.interfaces) &&
  isAny(entry.path, [device.path, usbPort(device.path)]);

/** Whether a disk was there before hotmount and cannot be taken out. @param bootSequence highest sequence number of a disk back then */
export const isFixed = (
  disk: { readonly removable: boolean; readonly diskSequence: number },
  bootSequence: number,
): boolean => !disk.removable && disk.diskSequence <= bootSequence;

/**
 * @param disk its `size` in bytes
 * @param fixed see {@link isFixed}: a class means such a disk only where it says `removable: false`
 */
export function isDisk(
  entry: Pick<HardwareMatch, 'removable' | 'minSize' | 'maxSize'>,
  disk: { readonly removable: boolean; readonly size: number },
  fixed: boolean,
): boolean {
  return (
    (entry.removable === false || !fixed) &&
    (entry.removable === undefined || entry.removable === disk.removable) &&
    (entry.minSize === undefined || disk.size >= entry.minSize) &&
    (entry.maxSize === undefined || disk.size <= entry.maxSize)
  );
}
