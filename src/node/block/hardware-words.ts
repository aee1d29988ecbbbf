import type { Hardware } from '../../linux/hardware.ts';
import { escapeGlob } from '../../policy/index.ts';

/** What people know a device by, in one line: `usb 0403:6001, "FTDI" "FT232R USB UART", serial "A50285BI", path pci-…-usb-0:1.3`. Pure. */
export function hardwareWords({ bus, usb, vendor, model, serial, path }: Hardware): string {
  const words = [vendor, model].filter(Boolean).map((word) => JSON.stringify(word));
  return [
    usb ? `usb ${usb}` : bus,
    words.join(' '),
    serial ? `serial ${JSON.stringify(serial)}` : '',
    path ? `path ${path}` : '',
  ]
    .filter(Boolean)
    .join(', ');
}

/**
 * The item of a class's `match` that means this device, to be pasted into a policy: by its USB id and serial number, which stay the same in any port;
 * where it has no serial number, by the port. Flow style; quoted as JSON, which YAML reads. Pure.
 */
export function matchFor(hardware: Hardware, { subsystem, devname }: { subsystem?: string; devname?: string }): string {
  const { usb, vendor, model, serial, path } = hardware;
  const criteria: [string, string][] = [];
  if (subsystem) criteria.push(['subsystem', subsystem]);
  if (usb) criteria.push(['usb', usb]);
  else
    criteria.push(
      ...(
        [
          ['vendor', vendor],
          ['model', model],
        ] as [string, string][]
      ).filter(([, value]) => value),
    );
  if (serial) criteria.push(['serial', serial]);
  else if (path) criteria.push(['path', path]);
  const namesHardware = criteria.some(([key]) => key !== 'subsystem');
  if (!namesHardware && devname) criteria.push(['devname', devname]);
  return `{ ${criteria.map(([key, value]) => `${key}: [${JSON.stringify(escapeGlob(value))}]`).join(', ')} }`;
}

/** A device that no class takes, for whoever wants to write one. Pure. */
export const unclaimed = (hardware: Hardware, where: { subsystem?: string; devname?: string }): string =>
  `in no class (${hardwareWords(hardware)}); to match it: ${matchFor(hardware, where)}`;
