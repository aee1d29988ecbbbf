import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { attachMount, cloneMount, setMountAttributes } from '../../src/linux/mounts.ts';
import { Container, MAPPING } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePolicy, deviceStatus, ownSize, sized } from './support/devices.ts';
import { ZramDisk } from './support/disks.ts';
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
      const [mapped, unmapped] = [containerWith(await idmapped(directory)), containerWith(directory)];

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

    /** A directory, with the ids of the container's users: runtimes do that themselves for mounts with `uidMappings`, runc since 1.2. */
    async function idmapped(directory: string): Promise<string> {
      const child = spawn('unshare', ['--user', 'sleep', 'infinity'], { stdio: 'ignore' });
      rig.onClose('process', () => child.kill('SIGKILL'));
      const proc = `/proc/${child.pid}`;
      await until('it has a namespace', () => readFileSync(`${proc}/uid_map`, 'utf8') === '');
      const [{ containerID, hostID, size }] = MAPPING as [(typeof MAPPING)[number]];
      for (const file of ['uid_map', 'gid_map']) writeFileSync(`${proc}/${file}`, `${containerID} ${hostID} ${size}\n`);
      const namespace = openSync(`${proc}/ns/user`, 'r');
      const tree = cloneMount(directory);
      setMountAttributes(tree, { idmap: namespace });
      const target = rig.path('volume');
      mkdirSync(target);
      attachMount(tree, target);
      for (const descriptor of [tree, namespace]) closeSync(descriptor);
      return target;
    }
  },
);
