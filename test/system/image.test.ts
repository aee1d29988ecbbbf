import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchStatus } from '../../src/node/server.ts';
import { describeUnless } from '../describe-unless.ts';
import { freePorts } from '../ports.ts';
import { LXCFS, podWith, reviewOf } from '../server/support.ts';
import { REQUIRED } from '../settings.ts';
import { Container } from './support/container.ts';
import { LoopDisk } from './support/disks.ts';
import { Image, type Running } from './support/image.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const ASKED_FOR = process.env['HOTMOUNT_IMAGE'] === '1' || REQUIRED;
const BUILD_MS = 1_200_000;
const TOOLS = ['runc', 'busybox', 'buildah', 'mmdebstrap', 'curl'];

if (ASKED_FOR) describeSystem('the image', TOOLS, tests);
else describeUnless('building it takes minutes: npm run test:image', 'the image', tests);

function tests(): void {
  let rig: Rig;
  let image: Image;
  beforeAll(() => {
    rig = new Rig();
    image = new Image(rig);
  }, BUILD_MS);
  afterAll(() => rig?.close());

  it('runs hotmount, as a user without a name or any right', async () => {
    expect(image.config).toMatchObject({ User: '1000:1000', Entrypoint: ['hotmount'] });
    const running = image.start(['--help']);
    expect(await running.ended, running.output()).toBe(0);
    expect(running.output()).toMatch(/^Usage: hotmount /);
  });

  it('is based on the Node that the tests run with', async () => {
    expect(readFileSync('Dockerfile', 'utf8').match(/^FROM node:\S+/gm)).toEqual(
      Array(2).fill(`FROM node:${process.versions.node}-bookworm-slim`),
    );
    expect(await image.program('node', '--version')).toBe(process.version);
  });

  it('serves the webhook over TLS, as the chart runs it: unprivileged, and with nothing that it could write to', async () => {
    const [port, metricsPort] = await freePorts(2);
    const where = ['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)];
    const running = image.start(['webhook', '--tls-self-signed', '--drain-seconds', '0', ...where]);
    await until('it is ready', async () => {
      const ready = await fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
      return ready || ended(running, 'serving');
    });
    // By curl, which takes any certificate: what matters here is that the image can make one and answer.
    const review = rig.path('review.json');
    writeFileSync(review, reviewOf(podWith(LXCFS)));
    const url = `https://127.0.0.1:${port}/mutate/pods`;
    const answer = run('curl', '-sfk', '-H', 'content-type: application/json', '-d', `@${review}`, url);
    expect(JSON.parse(answer).response).toMatchObject({ allowed: true, patchType: 'JSONPatch' });
  });

  it('has neither sources nor dependencies in it but the one with native code', () => {
    expect(existsSync(`${image.rootfs}/hotmount/src`)).toBe(false);
    const dependencies = readdirSync(`${image.rootfs}/hotmount/node_modules`).filter((name) => !name.startsWith('.'));
    expect(dependencies.sort()).toEqual(['@koromix', 'koffi']);
  });

  it('holds what the node daemon calls, and no tools to build with', async () => {
    const programs = 'blkid mount umount setpriv unshare ntfs-3g mount.exfat-fuse lxcfs';
    await image.program('sh', '-ec', `for name in ${programs}; do command -v $name; done`);
    expect(await image.program('lxcfs', '--version')).toMatch(/^"?\d+\.\d+/);
    expect(await image.program('sh', '-c', 'command -v gcc make python3; ls node_modules | grep -x vitest; true')).toBe(
      '',
    );
    const help = image.start(['node', '--help']);
    expect(await help.ended, help.output()).toBe(0);
  });

  it('mounts disks into running containers, as the node daemon of the chart', async () => {
    mkdirSync(rig.path('run'));
    run('mount', '-t', 'tmpfs', 'run', rig.path('run'));
    run('mount', '--make-shared', rig.path('run'));
    mkdirSync(rig.path('policy'));
    writeFileSync(rig.path('policy/policy.yaml'), rig.policy());
    const bind = (destination: string, source: string, ...options: string[]) => ({
      destination,
      source,
      type: 'bind',
      options: ['rbind', ...options],
    });
    const running = image.start(
      [
        'node',
        '--policy',
        '/etc/hotmount/policy.yaml',
        '--run-dir',
        '/run/hotmount',
        '--lxcfs',
        'off',
        '--metrics-port',
        '0',
      ],
      {
        user: 0,
        privileged: true,
        mounts: [
          bind('/run/hotmount', rig.path('run'), 'rshared'),
          bind('/etc/hotmount', rig.path('policy'), 'ro'),
          { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777', 'size=16m'] },
        ],
      },
    );
    await until(
      'it is ready',
      async () => (await fetchStatus(rig.path('run')))?.daemon.ready || ended(running, 'ready'),
    );
    const { pid } = (await fetchStatus(rig.path('run')))?.daemon ?? {};
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')).toContain('--max-semi-space-size=1');
    const container = new Container(rig, {
      mounts: [{ source: rig.path('run/media/test'), target: '/media', propagation: 'rslave' }],
    });
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    await until('it is in the container', () => container.sees('/media/STICK/hello'));
    disk.pull();
    await until('it is gone from the container', () => !container.sees('/media/STICK'));
  });
}

/** False while it runs. @throws with what it said where it has ended instead */
function ended({ output, exitCode }: Running, instead: string): false {
  if (exitCode() !== null) throw new Error(`not ${instead}: ${output()}`);
  return false;
}
