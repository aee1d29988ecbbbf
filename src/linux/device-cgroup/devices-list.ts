import { accessBits, accessLetters, type DeviceAccess, ruleDevice } from './rule.ts';

/** A line of a v1 cgroup's `devices.list`: `undefined` stands for any number. */
interface Exception {
  readonly type: 'char' | 'block';
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly bits: number;
}

/** What a v1 cgroup may open. */
export interface DevicesList {
  /** `a *:* rwm`: everything, but for what has been denied, which it does not tell. */
  readonly allowsAll: boolean;
  readonly exceptions: readonly Exception[];
}

/**
 * Reads `devices.list` (Documentation/admin-guide/cgroup-v1/devices.rst).
 * @throws Error on a line that no kernel writes
 */
export function parseDevicesList(text: string): DevicesList {
  const exceptions: Exception[] = [];
  let allowsAll = false;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, type, major, minor, letters] = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]*)$/.exec(line) ?? [];
    if (type === undefined) throw new Error(`not a line of devices.list: ${JSON.stringify(line)}`);
    const number = (text: string | undefined): number | undefined => (text === '*' ? undefined : Number(text));
    if (type === 'a') allowsAll = true;
    else {
      exceptions.push({
        type: type === 'c' ? 'char' : 'block',
        major: number(major),
        minor: number(minor),
        bits: accessBits(letters ?? ''),
      });
    }
  }
  return { allowsAll, exceptions };
}

/** One access to one device, of a list. @param key as {@link ruleDevice} writes it */
export function allows({ allowsAll, exceptions }: DevicesList, key: string, bits: number): boolean {
  return allowsAll || exceptions.some((exception) => covers(exception, key) && (bits & ~exception.bits) === 0);
}

/**
 * What has to be added to a list for it to allow what is wanted. One line alone has to allow it: the kernel does not add up what several
 * allow (`match_exception` in security/device_cgroup.c), but adds to the line of exactly that device, if there is one.
 */
export function missing(list: DevicesList, wanted: DeviceAccess): Map<string, number> {
  const rest = new Map<string, number>();
  for (const [key, bits] of wanted) {
    if (!allows(list, key, bits)) rest.set(key, bits & ~exactBits(list, key));
  }
  return rest;
}

/** What the line of exactly that device allows. */
export const exactBits = ({ exceptions }: DevicesList, key: string): number =>
  exceptions.find((exception) => isExactly(exception, key))?.bits ?? 0;

/** The list as it was before something was added to the lines of these devices. */
export function without({ allowsAll, exceptions }: DevicesList, added: DeviceAccess): DevicesList {
  return {
    allowsAll,
    exceptions: exceptions.flatMap((exception) => {
      const key = keyOf(exception);
      const bits = exception.bits & ~(key === undefined ? 0 : (added.get(key) ?? 0));
      return bits === 0 && exception.bits !== 0 ? [] : [{ ...exception, bits }];
    }),
  };
}

function keyOf({ type, major, minor }: Exception): string | undefined {
  return major === undefined || minor === undefined ? undefined : ruleDevice({ type, major, minor });
}

const isExactly = (exception: Exception, key: string): boolean => keyOf(exception) === key;

function covers({ type, major, minor }: Exception, key: string): boolean {
  const [letter, ...numbers] = key.split(/[ :]/);
  return (
    letter === (type === 'char' ? 'c' : 'b') &&
    [major, minor].every((number, i) => number === undefined || number === Number(numbers[i]))
  );
}

/** The line for one device, as `devices.allow` and `devices.deny` take it. */
export const formatLine = (key: string, bits: number): string => `${key} ${accessLetters(bits)}`;

/** A record of what has been added, to be read by {@link parseRecord}. */
export const formatRecord = (access: DeviceAccess): string =>
  [...access].map(([key, bits]) => formatLine(key, bits)).join('\n');

/** What was recorded. Lines that are never written are passed over. */
export function parseRecord(text: string): Map<string, number> {
  const access = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, key, letters] = /^([bc] \d+:\d+) (r|w|rw)$/.exec(line) ?? [];
    if (key !== undefined && letters !== undefined) access.set(key, accessBits(letters));
  }
  return access;
}
