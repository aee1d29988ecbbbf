import type { ChildResult } from './child.ts';
import { patient } from './slowness.ts';

/** What blkid finds on a device. */
export interface FileSystem {
  /** `ext4`, `vfat`, `ntfs` …; also `crypto_LUKS`, `LVM2_member` and the like: `usage` tells them apart. */
  readonly type: string;
  /** `filesystem`, `crypto`, `raid`, `other`. */
  readonly usage: string;
  /** The label's bytes as text; bytes that are not UTF-8 are replaced. Whatever was written there: hostile until proven harmless. */
  readonly label: string;
  readonly uuid: string;
  /** Of the partition that it is on: a GUID, or `0xc` of an MBR. */
  readonly partType?: string | undefined;
  /** Why that could not be read. */
  readonly partTypeProblem?: string | undefined;
}

export type Probe =
  | { readonly outcome: 'found'; readonly fileSystem: FileSystem }
  /** `table`: a partition table, `gpt` for instance, is all that there is. */
  | { readonly outcome: 'nothing'; readonly table?: string | undefined }
  /** The drive is empty. */
  | { readonly outcome: 'no-medium' }
  /** More than one signature: which one is meant, only a person can say. */
  | { readonly outcome: 'ambiguous' }
  | { readonly outcome: 'failed'; readonly detail: string }
  | { readonly outcome: 'hung'; readonly stuck: Promise<void> | undefined };

/**
 * A user id of the probe's own: a process that shared it could trace the probe, and with it act in the daemon's cgroup. systemd's dynamic
 * users end at 65519, and images like to run as 65532 (`nonroot`) or 65534 (`nobody`); what is between, nobody gives out.
 */
export const PROBE_UID = 65_521;

/** Exit codes of `blkid -p` (blkid(8)). */
const NOTHING = 2;
const AMBIVALENT = 8;

/** strerror(ENOMEDIUM): optical drives have a size without a disc, too. */
const NO_MEDIUM = /No medium found/;
/** The program, and the node that only hotmount knows. */
const PREFIX = /^blkid: (error: )?([^\s:]+: )?/;

/** ms that blkid may take. */
export const PROBE_DEADLINE = patient(10_000);

/** blkid's arguments for a device node, given as path. */
export const probeArguments = (path: string): string[] => ['-p', '-o', 'udev', path];

/** What blkid's answer means. */
export function readProbe({ code, stdout, stderr, timedOut, stuck }: ChildResult): Probe {
  if (timedOut) return { outcome: 'hung', stuck };
  if (code === AMBIVALENT) return { outcome: 'ambiguous' };
  if (code === NOTHING && stderr.trim() === '') return { outcome: 'nothing' };
  if (NO_MEDIUM.test(stderr)) return { outcome: 'no-medium' };
  if (code !== 0)
    return { outcome: 'failed', detail: stderr.trim().replace(PREFIX, '') || `blkid ended with code ${code}` };
  const values = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const type = values.get('ID_FS_TYPE');
  if (!type) return { outcome: 'nothing', table: values.get('ID_PART_TABLE_TYPE') };
  return {
    outcome: 'found',
    fileSystem: {
      type,
      usage: values.get('ID_FS_USAGE') ?? 'other',
      label: decode(values.get('ID_FS_LABEL_ENC') ?? ''),
      uuid: decode(values.get('ID_FS_UUID_ENC') ?? ''),
    },
  };
}

/** blkid_encode_string(3): all but a few harmless characters and valid UTF-8 is `\xHH`, the backslash itself included. */
function decode(encoded: string): string {
  if (!encoded.includes('\\')) return encoded;
  const bytes = Buffer.from(encoded).toString('latin1');
  const decoded = bytes.replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(decoded, 'latin1').toString('utf8');
}
