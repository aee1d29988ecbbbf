import { afterEach, beforeEach, expect, it } from 'vitest';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePolicy, deviceStatus, ownSize, sized } from './support/devices.ts';
import { ZramDisk } from './support/disks.ts';
import { mappedVolume } from './support/mapped-volume.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const MEMBER = 1000;
const STRANGER = 1001;

describeSystem(
  'a device of a group, in a container with users of its own',
  ['runc', 'busybox', 'zram', 'unshare'],
  () => {
    let rig: Rig;
    beforeEach(() => {
      rig = new Rig();
    });
    afterEach(() => rig.close());

    it('is opened by who is in that group, where the volume is mapped as the kubelet has it, and by nobody where it is not', async () => {
      const size = ownSize(25);
      const match = `match: [{subsystem: [block], bus: [zram], ${sized(size)}}]`;
      const classes = `- {name: raw, mode: "0660", gid: ${MEMBER}, ${match}}`;
      const daemon = await new Daemon(rig, { policy: devicePolicy(rig, classes) }).start();
      const directory = `${daemon.runDir}/devices/raw`;
      const containerWith = (source: string): Container =>
        new Container(rig, { userNamespace: true, mounts: [{ source, target: '/raw', readOnly: true }] });
      const [mapped, unmapped] = [containerWith(await mappedVolume(rig, directory)), containerWith(directory)];

      const disk = new ZramDisk(rig, { size });
      const { containers } = await until('both are given it', async () => {
        const status = await deviceStatus(daemon, `raw/${disk.name}`);
        return status.containers.length === 2 ? status : undefined;
      });
      expect(containers.map(({ state }) => state)).toEqual(['granted', 'granted']);
      const opensAs = (container: Container, uid: number): string =>
        container.shAs(uid, `( : <> /raw/${disk.name} ) 2>&1 && echo opened || true`).replace(/.*: /, '');
      expect(mapped.sh(`stat -c '%u %g' /raw/${disk.name}`)).toBe(`0 ${MEMBER}`);
      expect(opensAs(mapped, MEMBER)).toBe('opened');
      expect(opensAs(mapped, STRANGER)).toBe('Permission denied');
      expect(opensAs(unmapped, MEMBER)).toBe('Permission denied');
    });
  },
);
