import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import type { Lab } from './lab.ts';

describeInLab('an optical drive', (lab) => {
  test('is empty without a disc, has its disc mounted read-only, and opens at its button', {
    timeout: 6 * DEADLINE,
  }, async () => {
    await lab().sh('modprobe sr_mod; echo 0 > /sys/module/block/parameters/events_dfl_poll_msecs');
    const drive = await lab().plugDiscDrive();
    const disk = await drive.disk();
    const node = await startGuestNode(lab(), [{ name: 'disc', match: [{ bus: ['usb'], fsType: ['iso9660', 'udf'] }] }]);
    await node.process.waitForOutput(new RegExp(`"disk":"${disk}","reason":"no_medium"`), DEADLINE);

    await drive.insertDisc(makeDisc(lab()));
    await node.mounted('DISC');
    expect(await lab().sh(`cat ${RUN_DIR}/media/disc/DISC/file.txt; grep DISC /proc/mounts`)).toMatch(/^text\n.* ro,/);
    await drive.pressButton();
    await node.unmounted('DISC');
    const { notMounted } = await node.status();
    // Which of them depends on whether the drive has told of the open tray by then.
    expect(['ejected', 'no_medium']).toContain(notMounted.find((entry) => entry.disk === disk)?.reason);
    expect(node.process.stdout).not.toContain('"level":"error"');
    await drive.pull();
  });
});

function makeDisc(lab: Lab): string {
  const [tree, image] = [`${lab.directory}/disc`, `${lab.directory}/disc.iso`];
  mkdirSync(tree);
  writeFileSync(`${tree}/file.txt`, 'text\n');
  execFileSync('genisoimage', ['-quiet', '-V', 'DISC', '-J', '-R', '-o', image, tree]);
  return image;
}
