import { constants } from 'node:fs';
import { runChild } from '../../linux/child.ts';
import { errorCode } from '../../linux/errors.ts';
import { patient } from '../../linux/slowness.ts';

/** ms */
const DEADLINE = patient(15_000);
/** The second number: CDROMEJECT in linux/cdrom.h. */
const PERL = 'sysopen(my $drive, $ARGV[0], $ARGV[1]) && ioctl($drive, 0x5309, 0) or die "$!\\n"';

/**
 * Opens the tray of an optical drive. A drive locks it while a disc is mounted, and the button only asks.
 * @param path of the device
 * @returns why it stays closed
 */
export async function openTray(path: string): Promise<string | undefined> {
  try {
    const { code, stderr, timedOut } = await runChild('perl', ['-e', PERL, path, String(constants.O_NONBLOCK)], {
      deadline: DEADLINE,
    });
    if (timedOut) return 'the drive does not answer';
    return code === 0 ? undefined : stderr.trim();
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? 'perl is not installed' : (error as Error).message;
  }
}
