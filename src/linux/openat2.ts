import { O_CLOEXEC, SYS } from './constants.ts';
import { check, libc } from './libc.ts';

/** `RESOLVE_*` of openat2(2): what a lookup may not do on its way. */
const RESOLVE = { noMounts: 0x01n, noMagicLinks: 0x02n, noLinks: 0x04n, beneath: 0x08n } as const;
export type Restriction = keyof typeof RESOLVE;

/**
 * Opens `path` below the directory `root`, which the lookup never leaves (`EXDEV`, `ELOOP`).
 * @param flags of open(2)
 * @param restrictions what else it may not do: follow a link, cross into a mount
 * @throws SystemCallError
 */
export function openBelow(root: number, path: string, flags: number, restrictions: readonly Restriction[]): number {
  const resolve = restrictions.reduce<bigint>((sum, name) => sum | RESOLVE[name], RESOLVE.beneath);
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, resolve]);
  return check(
    libc.syscall(SYS.openat2, 'int', root, 'str', path, 'void *', how, 'size_t', how.byteLength),
    'openat2',
    path,
  );
}
