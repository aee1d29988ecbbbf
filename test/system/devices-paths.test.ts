import { afterEach, beforeEach, expect, it } from 'vitest';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePolicy } from './support/devices.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a device in a directory of /dev', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  /** What a container has that mounts the class as the node's own directory. */
  const pod = (daemon: Daemon) =>
    new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/devices/tunnel`, target: '/dev/net', readOnly: true }],
    });

  it('is where programs look for it: /dev/net/tun', async () => {
    const tunnel = '- {name: tunnel, match: [{subsystem: [misc], devname: [net/tun]}]}';
    const daemon = await new Daemon(rig, { policy: devicePolicy(rig, tunnel) }).start();
    const container = pod(daemon);
    await until('it can be opened', () => container.sh('( : <> /dev/net/tun ) && echo yes') === 'yes');
    expect(container.sh('ls /dev/net')).toBe('tun');
  });

  it('keeps the whole name where the class says so', async () => {
    const tunnel = '- {name: tunnel, directory: "", match: [{subsystem: [misc], devname: [net/tun]}]}';
    const daemon = await new Daemon(rig, { policy: devicePolicy(rig, tunnel) }).start();
    const container = pod(daemon);
    await until('it can be opened', () => container.sh('( : <> /dev/net/net/tun ) && echo yes') === 'yes');
  });
});
