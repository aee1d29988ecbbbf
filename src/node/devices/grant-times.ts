import { errorCode, isErrno } from '../../linux/errors.ts';
import { getAttribute, removeAttribute, setAttribute } from '../../linux/xattr.ts';

/** On the cgroup itself, so that it ends with it, and the next daemon finds it. Containers can neither read nor write it. */
const ATTRIBUTE = 'trusted.hotmount.since';
/** As much as an attribute holds. */
const MAX_SIZE = 1 << 16;

/** Since when (ISO 8601) a container has which access, by whatever names it. */
export type GrantTimes = Readonly<Record<string, string>>;

/** Empty where the cgroup has gone. */
export function readGrantTimes(cgroup: string): GrantTimes {
  try {
    return JSON.parse(getAttribute(cgroup, ATTRIBUTE) ?? '{}') as GrantTimes;
  } catch (error) {
    // The cgroup has gone, or somebody else has written the attribute.
    if (!(error instanceof SyntaxError) && !isErrno(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) throw error;
    return {};
  }
}

/** Leaves out what does not fit: it is only shown to people. A cgroup that has gone is no error. */
export function writeGrantTimes(cgroup: string, since: GrantTimes): void {
  try {
    const text = JSON.stringify(since);
    if (text === '{}') removeAttribute(cgroup, ATTRIBUTE);
    else if (text.length <= MAX_SIZE) setAttribute(cgroup, ATTRIBUTE, text);
  } catch (error) {
    if (!['ENOENT', 'ENODATA', 'ENODEV'].includes(errorCode(error) ?? '')) throw error;
  }
}
