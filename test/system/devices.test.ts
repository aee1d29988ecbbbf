import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { getAttribute } from '../../src/linux/xattr.ts';
import { describeOnEach } from './device-cgroup/describe-on.ts';
import type { ContainerOptions } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import {
  devicePod,
  devicePolicy,
  deviceState,
  deviceStatus,
  opens,
  ownSize,
  sized,
  untilOpens,
} from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';
import { TapDevice } from './support/tap.ts';

const SIZE = ownSize(17);
const OTHER_SIZE = ownSize(18);
const raw = (more = ''): string => `- {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]${more}}`;

/** Takes all the room that a daemon's run dir has for files: through its own mount, for others may not write. @returns how to end it */
function fill(daemon: Daemon): () => void {
  const { dev } = statSync(daemon.runDir);
  const isWorking = (path: string): boolean => {
    try {
      if (statSync(path).dev !== dev) return false;
      mkdirSync(`${path}/filler`);
      return true;
    } catch {
      return false;
    }
  };
  const descriptors = readdirSync(`/proc/${daemon.pid}/fd`).map((fd) => `/proc/${daemon.pid}/fd/${fd}`);
  const filler = `${descriptors.find(isWorking)}/filler`;
  try {
    for (let i = 0; ; i++) writeFileSync(`${filler}/${i}`, '');
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
  return () => rmSync(filler, { recursive: true });
}

describeSystem('a device plugged in while a container runs', ['runc', 'busybox', 'zram'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const start = (classes: string): Promise<Daemon> => new Daemon(rig, { policy: devicePolicy(rig, classes) }).start();
  const plug = (size = SIZE): ZramDisk => new ZramDisk(rig, { size });

  describeOnEach((number) => {
    const version: ContainerOptions = { unified: number === 2 };
    /** A daemon, a container that mounts the class, and a disk of that class which it has come to open. */
    const opened = async () => {
      const daemon = await start(raw());
      const container = devicePod(rig, daemon, ['raw'], version);
      const before = deviceState(container);
      const disk = plug();
      await untilOpens(container, `raw/${disk.name}`, 'rw');
      return { daemon, container, before, disk };
    };

    it.each([
      ['an unprivileged container', {}],
      ['a container with users of its own', { userNamespace: true }],
    ])(
      'a disk is opened, read and written in %s, and no other device; unplugged, all is as before',
      async (_name, more) => {
        const daemon = await start(raw());
        const container = devicePod(rig, daemon, ['raw'], { ...version, ...more });
        const bystander = devicePod(rig, daemon, [], { ...version });
        const [before, bystanders] = [deviceState(container), deviceState(bystander)];
        const other = plug(OTHER_SIZE);
        const disk = plug();

        await untilOpens(container, `raw/${disk.name}`, 'rw');
        const path = `/devices/raw/${disk.name}`;
        container.sh(`echo from the container | dd of=${path} bs=512 seek=3 conv=notrunc 2>&1`);
        expect(container.sh(`dd if=${path} bs=512 skip=3 count=1 2>/dev/null | head -n 1`)).toBe('from the container');
        expect(deviceState(bystander)).toEqual(bystanders);
        expect(container.sh('ls /devices/raw')).toBe(disk.name);
        expect(opens(container, `raw/${other.name}`)).toBe('gone');
        const status = await deviceStatus(daemon, `raw/${disk.name}`);
        expect(status).toMatchObject({ device: disk.name, class: 'raw', access: 'rw', bus: 'zram' });
        expect(status.containers).toMatchObject([{ cgroup: container.cgroup, state: 'granted' }]);

        await disk.unplugWhenFree();
        await untilOpens(container, `raw/${disk.name}`, 'gone');
        await until('what was granted is taken back', () => expect(deviceState(container)).toEqual(before) ?? true);
        expect(deviceState(bystander)).toEqual(bystanders);
      },
    );

    it('is for reading alone where the class says so', async () => {
      const daemon = await start(raw(', access: r'));
      const container = devicePod(rig, daemon, ['raw'], version);
      const disk = plug();
      await untilOpens(container, `raw/${disk.name}`, 'r');
      expect((await deviceStatus(daemon, `raw/${disk.name}`)).access).toBe('r');
    });

    it('is there for a container that starts after it, and for one that is started anew', async () => {
      const daemon = await start(raw());
      const disk = plug();
      await deviceStatus(daemon, `raw/${disk.name}`);
      for (let i = 0; i < 3; i++) {
        const container = devicePod(rig, daemon, ['raw'], version);
        await untilOpens(container, `raw/${disk.name}`, 'rw');
        container.stop();
      }
      await until('they are forgotten', async () => {
        return (await deviceStatus(daemon, `raw/${disk.name}`)).containers.length === 0;
      });
    });

    it('stays usable while the daemon is killed and started again, and goes when it was unplugged meanwhile', async () => {
      const { daemon, container, before, disk } = await opened();
      const granted = deviceState(container);
      const grantOf = async () => (await deviceStatus(daemon, `raw/${disk.name}`)).containers[0];
      const { since } = (await grantOf()) ?? {};
      expect(since).toBeDefined();
      await daemon.kill();
      expect(opens(container, `raw/${disk.name}`)).toBe('rw');
      await daemon.start();
      expect(deviceState(container), 'what is right is not touched').toEqual(granted);
      expect((await grantOf())?.since).toBe(since);
      expect(opens(container, `raw/${disk.name}`)).toBe('rw');

      await daemon.kill();
      await disk.unplugWhenFree();
      await daemon.start();
      expect(deviceState(container)).toEqual(before);
      expect(opens(container, `raw/${disk.name}`)).toBe('gone');
      await until('it is in the log', () => daemon.log.includes('access to a device taken back'));
    });

    it('is another device where its number came to be used again while no daemon ran', async () => {
      const { daemon, container, before, disk } = await opened();
      const node = `${daemon.runDir}/devices/raw/${disk.name}`;
      const record = getAttribute(node, 'trusted.hotmount.device');
      await daemon.kill();
      await disk.unplugWhenFree();
      const successor = plug();
      expect(successor.name, 'zram gives the number anew').toBe(disk.name);
      const lines = daemon.log.split('\n').length;
      await daemon.start();
      await untilOpens(container, `raw/${disk.name}`, 'rw');
      expect(getAttribute(node, 'trusted.hotmount.device')).not.toBe(record);
      const changes = (): string => {
        const since = daemon.log.split('\n').slice(lines - 1);
        return since.flatMap((line) => /access to a device (\w+)/.exec(line)?.[1] ?? []).join();
      };
      await until('it is taken back, and given', () => changes() === 'taken,granted');

      await daemon.kill();
      await successor.unplugWhenFree();
      const stranger = plug(OTHER_SIZE);
      expect(stranger.name).toBe(disk.name);
      await daemon.start();
      expect(opens(container, `raw/${disk.name}`)).toBe('gone');
      expect(deviceState(container)).toEqual(before);
    });

    it('comes and goes with its class, whose directory stays', async () => {
      const { daemon, container, before, disk } = await opened();

      daemon.setPolicy(devicePolicy(rig, raw(', access: r, mode: "0640", gid: 7')));
      await untilOpens(container, `raw/${disk.name}`, 'r');
      await until('the node is as the class says', () => {
        const { mode, gid } = lstatSync(`${daemon.runDir}/devices/raw/${disk.name}`);
        expect([mode & 0o777, gid]).toEqual([0o640, 7]);
        return true;
      });

      daemon.setPolicy(devicePolicy(rig, '- {name: else, match: [{subsystem: [none]}]}'));
      await untilOpens(container, `raw/${disk.name}`, 'gone');
      await until('what was granted is taken back', () => expect(deviceState(container)).toEqual(before) ?? true);
      expect(existsSync(`${daemon.runDir}/devices/raw`)).toBe(true);

      daemon.setPolicy(devicePolicy(rig, raw()));
      await untilOpens(container, `raw/${disk.name}`, 'rw');
      expect(await daemon.stop()).toBe(0);
      run(process.execPath, 'src/cli.ts', 'node', '--cleanup', '--no-csi', '--run-dir', daemon.runDir);
      expect(deviceState(container)).toEqual(before);
      expect(opens(container, `raw/${disk.name}`)).toBe('gone');
    });

    describeSystem('that is a character device', ['macvtap'], () =>
      it('is opened and written', async () => {
        const tap = new TapDevice(rig);
        const daemon = await start(`- {name: taps, match: [{subsystem: [macvtap], devname: ["${tap.name}"]}]}`);
        const container = devicePod(rig, daemon, ['taps'], version);
        const path = `taps/${tap.name}`;
        await untilOpens(container, path, 'rw');
        // An Ethernet frame of zeros, with its virtio header.
        container.sh(`yes '' | tr '\\n' '\\0' | dd of=/devices/${path} bs=74 count=1 2>&1`);
        tap.unplug();
        await untilOpens(container, path, 'gone');
      }),
    );

    it('is given to all containers that share a cgroup, with what each of them mounts', async () => {
      const classes = `${raw()}\n- {name: big, access: r, match: [{bus: [zram], ${sized(OTHER_SIZE)}}]}`;
      const daemon = await start(classes);
      const first = devicePod(rig, daemon, ['raw'], version);
      const shared = first.cgroup.slice(first.cgroup.indexOf('/hotmount-'));
      const second = devicePod(rig, daemon, ['big'], { ...version, cgroupsPath: `${shared}` });
      const [one, two] = [plug(), plug(OTHER_SIZE)];
      await untilOpens(first, `raw/${one.name}`, 'rw');
      await untilOpens(second, `big/${two.name}`, 'r');
    });
  });

  it('is made as soon as there is room for it again, without an event, and so is the directory of a class', async () => {
    const daemon = await start(raw());
    const makeRoom = fill(daemon);
    const disk = plug();
    await until('it is told', async () => {
      const { devicesLeft = [] } = (await daemon.status()) ?? {};
      return devicesLeft.some(({ device, reason }) => device === disk.name && reason === 'run_dir_failed');
    });
    daemon.setPolicy(devicePolicy(rig, `${raw()}\n- {name: more, match: [{subsystem: [none]}]}`));
    await until('that is told, too', async () => (await daemon.status())?.devicesProblem?.includes('devices/more'));
    makeRoom();
    await deviceStatus(daemon, `raw/${disk.name}`);
    expect(existsSync(`${daemon.runDir}/devices/more`)).toBe(true);
    expect((await daemon.status())?.devicesProblem).toBeUndefined();
  });

  it('is left alone where the node uses it, and a raw disk is not mounted as media', async () => {
    const uuids = `[{uuid: ["${rig.uuidPrefix}-*"]}]`;
    const policy = (classes: string): string =>
      `${rig.policy(`- {name: test, match: ${uuids}}`)}deviceClasses: ${classes}\n`;
    const daemon = await new Daemon(rig, { policy: policy('[]') }).start();
    const disk = new LoopDisk(rig, { label: 'STICK', size: 19 });
    const media = await daemon.mounted(disk.plug());

    // What a device class takes is media's no more; and as long as it is mounted, nobody gets it raw.
    daemon.setPolicy(policy('[{name: raw, match: [{bus: [loop], minSize: 19Mi, maxSize: 19Mi}]}]'));
    await daemon.leftFor(disk.name, 'raw_device');
    await deviceStatus(daemon, `raw/${disk.name}`);
    expect(existsSync(media)).toBe(false);

    mkdirSync(rig.path('elsewhere'));
    run('mount', disk.device as string, rig.path('elsewhere'));
    await until('it is taken away', () => readdirSync(`${daemon.runDir}/devices/raw`).length === 0);
    expect((await daemon.status())?.devicesLeft).toMatchObject([{ device: disk.name, reason: 'in_use_by_node' }]);
  });
});
