import { spawn } from 'node:child_process';
import { lstatSync, mkdirSync, readlinkSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchStatus } from '../../src/node/server.ts';
import { Container } from './support/container.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** The programs of the node stand in for those of an image. */
const IMAGE = ['/bin', '/sbin', '/lib', '/lib64', '/usr', '/etc'];
const CAPABILITIES = [
  'SYS_ADMIN',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SETUID',
  'SETGID',
  'SETPCAP',
  'MKNOD',
  'CHOWN',
  'FOWNER',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'KILL',
].map((name) => `CAP_${name}`);

describeSystem('the daemon in a container with the PID namespace of the host', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
    // A shared mount of its own, as /run is: runc makes private what its container's root file system lies on.
    mkdirSync(rig.path('run'));
    run('mount', '-t', 'tmpfs', 'run', rig.path('run'));
    run('mount', '--make-shared', rig.path('run'));
  });
  afterEach(() => rig.close());

  /** Starts it as a DaemonSet with `mountPropagation` has it started; returns its log so far. */
  function startDaemon(propagation: 'rshared' | 'rslave'): () => string {
    const [id, bundle, policy] = [`hotmount-daemon-${process.pid}`, rig.path('daemon'), rig.path('policy.yaml')];
    const rootfs = `${bundle}/rootfs`;
    mkdirSync(rootfs, { recursive: true });
    writeFileSync(policy, rig.policy());
    const links = IMAGE.filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink());
    for (const path of links) symlinkSync(readlinkSync(path), rootfs + path);
    const sources = [
      ...IMAGE.filter((path) => !links.includes(path)),
      dirname(realpathSync(process.execPath)),
      CHECKOUT,
      realpathSync(`${CHECKOUT}/node_modules`),
    ];
    const node = [
      'node',
      '--run-dir',
      rig.path('run'),
      '--policy',
      policy,
      '--host',
      '127.0.0.1',
      '--metrics-port',
      '0',
    ];
    const spec = {
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args: [realpathSync(process.execPath), `${CHECKOUT}/src/cli.ts`, ...node],
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        cwd: '/',
        capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      },
      root: { path: 'rootfs' },
      hostname: id,
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'rslave', 'ro'] },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755', 'size=64k'] },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777', 'size=16m'] },
        ...sources.map((path) => ({ destination: path, type: 'bind', source: path, options: ['rbind', 'ro'] })),
        { destination: policy, type: 'bind', source: policy, options: ['bind', 'ro'] },
        { destination: rig.path('run'), type: 'bind', source: rig.path('run'), options: ['rbind', propagation] },
      ],
      linux: {
        namespaces: ['ipc', 'uts', 'mount'].map((type) => ({ type })),
        rootfsPropagation: propagation,
        resources: { devices: [{ allow: true, access: 'rwm' }] },
        cgroupsPath: `/${id}`,
      },
    };
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    const runc = ['--root', rig.path('runc')];
    rig.onClose('process', () => run('runc', ...runc, 'delete', '--force', id));
    const child = spawn('runc', [...runc, 'run', '-b', bundle, id], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    return () => log;
  }

  it('serves the containers beside it, with the run dir mounted rshared', async () => {
    const log = startDaemon('rshared');
    await until('it is ready', async () => (await fetchStatus(rig.path('run')))?.daemon.ready || fail(log()));
    const source = rig.path('run/media/test');
    const container = new Container(rig, { mounts: [{ source, target: '/media', propagation: 'rslave' }] });
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    await until('it is in the container', () => container.sees('/media/STICK/hello') || fail(log()));
    expect(container.sh('cat /media/STICK/hello')).toBe('from the disk');

    disk.pull();
    await until('it is gone from the container', () => !container.sees('/media/STICK'));
  });

  it('is never ready and says which setting to change, without', async () => {
    const log = startDaemon('rslave');
    await until('it says so', () => log().includes('mountPropagation: Bidirectional') || fail(log()));
    const port = await until('it serves', () => /"metricsPort":(\d+)/.exec(log())?.[1]);
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('rootfsPropagation: rshared');
  });
});

function fail(log: string): never {
  throw new Error(log);
}
