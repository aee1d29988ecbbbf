import type { Device } from '../../linux/device.ts';
import { type DeviceClass, type DeviceMatch, literalOf, matchesGlobs } from '../../policy/index.ts';
import { is, isDisk, isHardware } from '../block/match.ts';

/** What is known of a device besides what sysfs says. */
export interface Facts {
  /** A disk that was there before hotmount and cannot be taken out. */
  readonly isFixed: boolean;
  readonly properties: ReadonlyMap<string, string>;
}

/** All classes that take the device: it gets a node in each. */
export const classesOf = (classes: readonly DeviceClass[], device: Device, facts: Facts): DeviceClass[] =>
  classes.filter(({ match }) => match.some((entry) => matches(entry, device, facts)));

/** Whether some class might take a device of this name: only then is the rest of it read. */
export const isOfInterest = (
  classes: readonly DeviceClass[],
  { subsystem, name }: Pick<Device, 'subsystem' | 'name'>,
): boolean =>
  classes.some(({ match }) => match.some((entry) => is(entry.subsystem, subsystem) && is(entry.devname, name)));

/** The subsystems that classes name, where all do, and name them by name; undefined: it may be any. */
export function subsystemsOf(classes: readonly DeviceClass[]): string[] | undefined {
  const globs = classes.flatMap(({ match }) => match.map(({ subsystem }) => subsystem));
  if (globs.some((list) => list === undefined)) return undefined;
  const names = globs.flatMap((list) => list ?? []).map(literalOf);
  return names.includes(undefined) ? undefined : [...new Set(names as string[])];
}

/** Whether some class matches by udev's database. */
export const asksUdev = (classes: readonly DeviceClass[]): boolean =>
  classes.some(({ match }) => match.some(({ properties }) => properties !== undefined));

function matches(entry: DeviceMatch, device: Device, { isFixed, properties }: Facts): boolean {
  const { block } = device;
  const asksForDisk = [entry.removable, entry.minSize, entry.maxSize].some((criterion) => criterion !== undefined);
  return (
    is(entry.subsystem, device.subsystem) &&
    isHardware(entry, device) &&
    hasProperties(entry.properties, properties) &&
    (block ? isDisk(entry, block, isFixed) : !asksForDisk)
  );
}

/** What is not there, or not yet, matches nothing: neither `*` nor an exclusion. */
const hasProperties = (globs: DeviceMatch['properties'] = {}, properties: ReadonlyMap<string, string>): boolean =>
  Object.entries(globs).every(([key, patterns]) => {
    const value = properties.get(key);
    return value !== undefined && matchesGlobs(patterns, value);
  });
