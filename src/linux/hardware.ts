import type { UsbFacts } from './usb.ts';

/** What sysfs says of the hardware that a device is part of. Strings come from the device itself: hostile. */
export interface Hardware extends UsbFacts {
  /** `usb`, `pci`, `nvme`, `loop`, `virtual` … */
  readonly bus: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  /** Where it is plugged in, as udev writes ID_PATH; empty for virtual devices. */
  readonly path: string;
}
