import { existsSync, lstatSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { devicePolicy, ownSize, sized } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { FakeDeviceManager } from './support/fake-device-manager.ts';
import { FakeKubelet } from './support/fake-kubelet.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(21);
const classNamed = (name: string): string =>
  `- {name: ${name}, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}`;

describeSystem('the device plugin', ['zram'], () => {
  let rig: Rig;
  let kubelet: FakeKubelet;
  let daemon: Daemon;

  const daemonWith = (policy: string): Daemon =>
    new Daemon(rig, { policy, kubeletDir: 'kubelet', args: ['--device-plugin'] });
  const resources = async () => (await daemon.status())?.devicePlugin?.resources;

  beforeEach(async () => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
    daemon = daemonWith(devicePolicy(rig, classNamed('raw')));
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  it('tells the kubelet how many devices of a class are plugged in, and hands nothing out', async () => {
    await daemon.start();
    const manager = new FakeDeviceManager(kubelet, 'raw');
    expect(await manager.connect()).toEqual({ type: 'DevicePlugin', name: 'hotmount.io/raw', version: 'v1beta1' });
    await manager.until();
    const [first, second] = [new ZramDisk(rig, { size: SIZE }), new ZramDisk(rig, { size: SIZE })];
    await manager.until('1', '2');
    expect(await resources()).toEqual([
      { name: 'hotmount.io/none', count: 0, registered: false },
      { name: 'hotmount.io/raw', count: 2, registered: true },
    ]);
    // One container, for which nothing is to be done.
    const answer = await manager.allocate('1', '2');
    expect([answer.code, Buffer.from(answer.bytes).toString('hex')]).toEqual(['OK', '0a00']);
    await first.unplugWhenFree();
    await manager.until('1');
    await second.unplugWhenFree();
    await manager.until();
  });

  it('counts mounted disks too', async () => {
    daemon = daemonWith(rig.policy());
    await daemon.start();
    const [className = ''] = (await daemon.status())?.policy.mediaClasses ?? [];
    const manager = new FakeDeviceManager(kubelet, className);
    await manager.connect();
    const disk = new LoopDisk(rig, { label: 'COUNTED' });
    disk.plug();
    await manager.until('1');
    disk.pull();
    await manager.until();
  });

  it('is found again by a kubelet that starts anew, and by one that has let go of it', async () => {
    await daemon.start();
    const manager = new FakeDeviceManager(kubelet, 'raw');
    await manager.connect();
    const { ino } = lstatSync(manager.socket);
    manager.disconnect();
    await until('it is known', async () => (await resources())?.[1]?.registered === false);
    await manager.connect();
    await until('it is known', async () => (await resources())?.[1]?.registered === true);
    expect(lstatSync(manager.socket).ino).toBe(ino);
    manager.disconnect();
    // What the kubelet's watcher of the directory hears.
    await until('the socket is made again', () => lstatSync(manager.socket).ino !== ino);
    await manager.connect();
    await manager.until();
  });

  it('follows the policy, and says what the kubelet refuses', async () => {
    await daemon.start();
    const raw = new FakeDeviceManager(kubelet, 'raw');
    await raw.connect();
    daemon.setPolicy(devicePolicy(rig, classNamed('other')));
    await until('the stream ends', () => raw.ended);
    expect(existsSync(raw.socket)).toBe(false);
    const other = new FakeDeviceManager(kubelet, 'other');
    const disk = new ZramDisk(rig, { size: SIZE });
    await other.connect();
    await other.until('1');
    await other.notify(false, 'too many');
    expect((await resources())?.[1]?.problem).toBe('too many');
    await disk.unplugWhenFree();
  });

  it('hands its sockets on to the next daemon, and leaves none of classes that are gone', async () => {
    await daemon.start();
    const raw = new FakeDeviceManager(kubelet, 'raw');
    await raw.connect();
    await daemon.stop();
    expect(existsSync(raw.socket)).toBe(true);
    writeFileSync(raw.socket.replace('raw', 'gone'), '');
    const { ino } = lstatSync(raw.socket);
    await daemon.start();
    await until('a new one', () => existsSync(raw.socket) && lstatSync(raw.socket).ino !== ino);
    await raw.connect();
    await raw.until();
    expect(readdirSync(`${kubelet.dir}/plugins_registry`).sort()).toEqual([
      'hotmount.io-devices-none.sock',
      'hotmount.io-devices-raw.sock',
      'hotmount.io-reg.sock',
    ]);

    // Without it, the kubelet is not left with sockets that nobody serves.
    await daemon.stop();
    await new Daemon(rig, { kubeletDir: 'kubelet' }).start();
    expect(readdirSync(`${kubelet.dir}/plugins_registry`)).toEqual(['hotmount.io-reg.sock']);
  });
});
