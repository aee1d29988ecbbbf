import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, devicePolicy, opens, ownSize, sized, untilOpens } from './support/devices.ts';
import { ZramDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

type Pods = [Container, Container, Container];

describeSystem('a device class for one container at a time', ['runc', 'busybox', 'zram'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is had by the container that started first, then by the next, also under a new daemon', async () => {
    const size = ownSize(19);
    const classes = `- {name: raw, maxContainers: 1, match: [{subsystem: [block], bus: [zram], ${sized(size)}}]}`;
    const daemon = await new Daemon(rig, { policy: devicePolicy(rig, classes) }).start();
    const [first, second, third] = [0, 1, 2].map(() => devicePod(rig, daemon, ['raw'])) as Pods;
    const disk = new ZramDisk(rig, { size });
    const path = `raw/${disk.name}`;
    await untilOpens(first, path, 'rw');
    const states = async (): Promise<string> => {
      const containers = (await daemon.status())?.devices.flatMap((device) => device.containers) ?? [];
      return containers
        .map(({ state }) => state)
        .sort()
        .join();
    };
    await until('the others wait', async () => (await states()) === 'granted,waiting,waiting');
    expect([opens(second, path), opens(third, path)]).toEqual(['', '']);

    await daemon.kill();
    await daemon.start();
    await until('the same wait', async () => (await states()) === 'granted,waiting,waiting');
    expect([first, second, third].map((container) => opens(container, path))).toEqual(['rw', '', '']);

    first.stop();
    await untilOpens(second, path, 'rw');
    expect(opens(third, path)).toBe('');
  });
});
