import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchStatus } from '../../src/node/server.ts';
import { Container } from './support/container.ts';
import { deviceState, ownSize, sized } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { Pod, sharedRunDir } from './support/pod.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('the daemon in a container with the PID namespace of the host', ['runc', 'busybox'], () => {
  let rig: Rig;
  let runDir: string;
  beforeEach(() => {
    rig = new Rig();
    runDir = sharedRunDir(rig);
  });
  afterEach(() => rig.close());

  function startDaemon(propagation: 'rshared' | 'rslave', more = ''): Pod {
    const policy = rig.path('policy.yaml');
    writeFileSync(policy, rig.policy() + more);
    const args = [
      'node',
      '--run-dir',
      runDir,
      '--policy',
      policy,
      '--host',
      '127.0.0.1',
      '--metrics-port',
      '0',
      '--lxcfs',
      'off',
    ];
    return new Pod(rig, { args, runDir, propagation, readable: [policy] });
  }

  it('serves the containers beside it, with the run dir mounted rshared', async () => {
    const daemon = startDaemon('rshared');
    await until('it is ready', async () => (await fetchStatus(runDir))?.daemon.ready || fail(daemon.log));
    const source = `${runDir}/media/test`;
    const container = new Container(rig, { mounts: [{ source, target: '/media', propagation: 'rslave' }] });
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    await until('it is in the container', () => container.sees('/media/STICK/hello') || fail(daemon.log));
    expect(container.sh('cat /media/STICK/hello')).toBe('from the disk');

    disk.pull();
    await until('it is gone from the container', () => !container.sees('/media/STICK'));
  });

  it('gives them access to devices, and takes it back', async () => {
    const size = ownSize(23);
    const daemon = startDaemon('rshared', `deviceClasses: [{name: raw, match: [{${sized(size)}}]}]\n`);
    await until('it is ready', async () => (await fetchStatus(runDir))?.daemon.ready || fail(daemon.log));
    const mounts = [{ source: `${runDir}/devices/raw`, target: '/raw', readOnly: true }];
    const container = new Container(rig, { mounts });
    const before = deviceState(container);
    const disk = new ZramDisk(rig, { size });
    const opens = (): boolean => container.sh(`( : < /raw/${disk.name} ) 2>/dev/null && echo yes || true`) === 'yes';
    await until('it can be opened', () => opens() || fail(daemon.log));
    await disk.unplugWhenFree();
    await until('all is as before', () => expect(deviceState(container)).toEqual(before) ?? true);
    expect(container.sees(`/raw/${disk.name}`)).toBe(false);
  });

  it('is never ready and says which setting to change, without', async () => {
    const daemon = startDaemon('rslave');
    await until('it says so', () => daemon.log.includes('mountPropagation: Bidirectional') || fail(daemon.log));
    const port = await until('it serves', () => /"metricsPort":(\d+)/.exec(daemon.log)?.[1]);
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('rootfsPropagation: rshared');
  });
});

function fail(log: string): never {
  throw new Error(log);
}
