import * as z from 'zod';
import { didYouMean, quote } from '../contract/suggest.ts';
import { CLASS_NAME_RULE, isClassName } from '../contract/wants.ts';
import { globProblem, literalOf } from './globs.ts';
import { FILE_SYSTEM_NAMES } from './mount-options.ts';
import { glob, globs, someOf, text } from './schema-parts.ts';
import { parseSize, SIZE_EXPECTED, SIZE_PATTERN } from './size.ts';
import { mistakenUsbId, usbIdProblem, usbInterfaceProblem, wholeInterface } from './usb.ts';

/** The shapes of media and device classes: see schema.ts for the rules of all of them. */

const className = text((value) => (isClassName(value) ? undefined : CLASS_NAME_RULE))
  .meta({ pattern: '^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$' })
  .describe('A DNS label of at most 40 characters.');

const size = z
  .union(
    [
      z
        .string()
        .superRefine((value, context) => {
          if (parseSize(value) !== undefined) return;
          context.addIssue({ code: 'custom', message: `${quote(value)} is not a size; expected ${SIZE_EXPECTED}` });
        })
        .meta({ pattern: SIZE_PATTERN })
        .transform((value) => parseSize(value) ?? 0),
      z.int().nonnegative(),
    ],
    { error: `expected ${SIZE_EXPECTED}` },
  )
  .optional();

const fsType = text((value) => {
  if (value === '') return 'is empty and matches nothing';
  const problem = globProblem(value);
  if (problem !== undefined) return problem;
  const literal = literalOf(value);
  if (literal === undefined || FILE_SYSTEM_NAMES.includes(literal)) return undefined;
  const hint = didYouMean(literal, FILE_SYSTEM_NAMES) || `; it mounts ${FILE_SYSTEM_NAMES.join(', ')}`;
  return `is not a file system that hotmount mounts${hint}`;
});

/** An empty match would take every device of the node, which nobody means. */
const matches = <T extends z.ZodType<object>>(match: T) =>
  someOf(
    match.refine((criteria) => Object.values(criteria).some((criterion) => criterion !== undefined), {
      error: 'is empty and would match every device of the node; for that, write devname: ["*"]',
      // An unknown key was meant to match something.
      when: ({ issues }) => issues.length === 0,
    }),
  ).describe('Any of these; within one, all.');

/** Globs of a device's own words, where people write ids of USB instead. */
const words = (half: 'vendor' | 'model') =>
  text((value) => (value === '' ? 'is empty and matches nothing' : (globProblem(value) ?? mistakenUsbId(value, half))));

/** What media and device classes match in the same way, all from sysfs. */
const hardware = {
  vendor: someOf(words('vendor')).optional().describe('Globs of vendors, in the words of the device; "!" excludes.'),
  model: someOf(words('model')).optional().describe('Globs of models, in the words of the device; "!" excludes.'),
  product: globs('product strings of USB descriptors'),
  serial: globs('serial numbers'),
  usb: someOf(text(usbIdProblem).transform((value) => value.toLowerCase()))
    .optional()
    .describe('Globs of USB ids, VENDOR:PRODUCT as lsusb prints them; "!" excludes.'),
  interface: someOf(text(usbInterfaceProblem).transform(wholeInterface))
    .optional()
    .describe(
      'Globs of USB interfaces, CLASS or CLASS/SUBCLASS/PROTOCOL in hexadecimal; one of the device must match.',
    ),
  path: globs('ports, as udev has them in ID_PATH, such as "pci-0000:00:14.0-usb-0:1.3"'),
};
const bus = globs('buses: usb, nvme, scsi, ata, mmc, virtio, loop, zram …, from the sysfs path');
const devname = globs('device names without /dev/, such as "sd[a-z]1"');

const MODE = /^0?[0-7]{1,3}$/;
const mode = text((value) =>
  MODE.test(value) ? undefined : 'is not the permission bits of a file in octal; expected such as "0660" or "0666"',
)
  .meta({ pattern: MODE.source })
  .transform((value) => Number.parseInt(value, 8));

const MAX_ID = 2 ** 32 - 2;
const id = z.int().min(0).max(MAX_ID);

/** One of `mediaClasses`. */
export const mediaClass = z
  .strictObject({
    name: className,
    match: matches(
      z.strictObject({
        bus,
        fsType: someOf(fsType).optional().describe('Globs of file systems, by the names that blkid gives.'),
        label: globs('file system labels'),
        uuid: globs('file system UUIDs'),
        partType: globs('partition types: GUIDs in lower case, or 0xc and the like of an MBR'),
        ...hardware,
        devname,
        removable: z.boolean().optional().describe('What the kernel says of the disk; false admits fixed disks.'),
        minSize: size.describe('Of the device that holds the file system, inclusive.'),
        maxSize: size.describe('Of the device that holds the file system, inclusive.'),
      }),
    ),
    mount: z
      .strictObject({
        readOnly: z.boolean().default(false),
        options: z
          .array(z.string())
          .default([])
          .describe('Added to nosuid, nodev and relatime, which cannot be removed; only those known to be harmless.'),
        ifDirty: z
          .enum(['readOnly', 'fail'])
          .optional()
          .describe('What becomes of an NTFS that Windows left dirty or hibernated. Default: readOnly.'),
        nameBy: someOf(z.enum(['label', 'uuid', 'devname']))
          .default(['label', 'uuid', 'devname'])
          .describe('What names the directory: the first that the disk has.'),
        owner: z
          .strictObject({ uid: id, gid: id })
          .optional()
          .describe('To whom the files of the disk’s root appear to belong. Default on removable disks: 1000, 1000.'),
        mode: mode
          .optional()
          .describe(
            'Permission bits of files and directories, in octal, quoted, where the file system has none itself.',
          ),
      })
      .prefault({}),
  })
  .describe('Disks that are mounted under /run/hotmount/media/<name>.');

/** As udev writes them; those that begin with a dot it keeps to itself. */
const PROPERTY = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;
const properties = z
  .record(
    text((key) => (PROPERTY.test(key) ? undefined : 'is not the name of a udev property; expected such as ID_MODEL')),
    someOf(glob),
  )
  .optional()
  .describe('Globs by udev property, from the database of the udevd of the node; the device must have all of them.');

const DIRECTORY = /^([A-Za-z0-9][-A-Za-z0-9_.+]*(\/[A-Za-z0-9][-A-Za-z0-9_.+]*)*)?$/;
const directory = text((value) =>
  DIRECTORY.test(value)
    ? undefined
    : 'is not a directory below /dev; expected such as "bus/usb", without /dev/ and ".."; "" leaves nothing away',
)
  .meta({ pattern: DIRECTORY.source })
  .optional()
  .describe('Left away from the names of nodes; default: the directory that all devices of the class are in.');

/** One of `deviceClasses`. */
export const deviceClass = z
  .strictObject({
    name: className,
    match: matches(
      z.strictObject({
        subsystem: globs('kernel subsystems such as tty'),
        devname,
        bus,
        ...hardware,
        properties,
        removable: z.boolean().optional().describe('Of disks, as for media classes; false admits fixed disks.'),
        minSize: size.describe('Of disks, inclusive: other devices have none and do not match.'),
        maxSize: size.describe('Of disks, inclusive: other devices have none and do not match.'),
      }),
    ),
    directory,
    maxContainers: z
      .int()
      .min(1)
      .optional()
      .describe('How many containers have its devices at a time: those that started first. Default: any number.'),
    access: z.enum(['r', 'w', 'rw']).default('rw'),
    mode: mode
      .prefault('0666')
      .describe('Permission bits of the node, in octal, quoted. The device cgroup is the gate.'),
    uid: id.default(0),
    gid: id.default(0),
  })
  .describe('Raw devices that appear under /run/hotmount/devices/<name>.');
