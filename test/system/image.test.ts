import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchLxcfsStatus } from '../../src/node/lxcfs/api.ts';
import { fetchStatus } from '../../src/node/server.ts';
import { describeUnless } from '../describe-unless.ts';
import { freePorts } from '../ports.ts';
import { LXCFS, podWith, reviewOf } from '../server/support.ts';
import { REQUIRED } from '../settings.ts';
import { newerLxcfsRuns } from './lxcfs/installation.ts';
import { endLxcfs } from './lxcfs/service.ts';
import { Container } from './support/container.ts';
import { LoopDisk } from './support/disks.ts';
import { buildImages, type Image, type Running } from './support/image.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const ASKED_FOR = process.env['HOTMOUNT_IMAGE'] === '1' || REQUIRED;
const CGROUP_V2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
const BUILD_MS = 1_200_000;
const TOOLS = ['runc', 'busybox', 'buildah', 'mmdebstrap', 'curl'];

if (ASKED_FOR) describeSystem('the image', TOOLS, tests);
else describeUnless('building it takes minutes: npm run test:image', 'the image', tests);

function tests(): void {
  let rig: Rig;
  let image: Image;
  let webhookImage: Image;
  beforeAll(() => {
    rig = new Rig();
    ({ node: image, webhook: webhookImage } = buildImages(rig));
  }, BUILD_MS);
  afterAll(() => rig?.close());

  it('runs hotmount, as a user without a name or any right', async () => {
    expect(image.config).toMatchObject({ User: '1000:1000', Entrypoint: ['hotmount'] });
    for (const each of [image, webhookImage]) {
      expect(each.config.User).toBe('1000:1000');
      const running = each.start(['--help']);
      expect(await running.ended, running.output()).toBe(0);
      expect(running.output()).toMatch(/^Usage: hotmount /);
    }
  });

  it('has the Node that the tests run with, and says so, and of which commit it is', async () => {
    expect(readFileSync('Dockerfile', 'utf8').match(/(?<=^FROM .*)node:\S+/gm)).toEqual(
      Array(2).fill(`node:${process.versions.node}-bookworm-slim`),
    );
    const commit = run('git', 'rev-parse', '--short=12', 'HEAD').trim();
    for (const each of [image, webhookImage]) {
      const running = each.start(['--version']);
      expect(await running.ended, running.output()).toBe(0);
      expect(running.output()).toContain(`, commit ${commit}, Node ${process.versions.node}\n`);
    }
  });

  it('is small: at most 230 MB, and 150 MB for the webhook', () => {
    expect(image.size()).toBeLessThan(230e6);
    expect(webhookImage.size()).toBeLessThan(150e6);
  });

  it('has neither sources nor npm in it, and for the webhook no shell', () => {
    const absent = ['hotmount/src', 'usr/local/lib/node_modules', 'usr/local/bin/npm', 'usr/local/bin/corepack'];
    for (const path of absent) expect(existsSync(join(image.rootfs, path)), path).toBe(false);
    for (const path of [...absent, 'bin', 'usr/bin'])
      expect(existsSync(join(webhookImage.rootfs, path)), path).toBe(false);
    const dependencies = readdirSync(join(image.rootfs, 'hotmount/node_modules')).filter(
      (name) => !name.startsWith('.'),
    );
    expect(dependencies.sort()).toEqual(['@koromix', 'koffi']);
  });

  it.each([
    ['the webhook’s image', () => webhookImage],
    ['the node’s image', () => image],
  ])(
    'serves the webhook over TLS from %s, as the chart runs it: unprivileged, with nothing to write to',
    async (_, which) => {
      const [port, metricsPort] = await freePorts(2);
      const where = ['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)];
      const running = which().start(['webhook', '--tls-self-signed', '--drain-seconds', '0', ...where]);
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
    },
  );

  it('holds what the node daemon calls, and no tools to build with', async () => {
    const programs = 'blkid mount umount setpriv unshare ntfs-3g mount.exfat-fuse lxcfs';
    await image.program('sh', '-ec', `for name in ${programs}; do command -v $name; done`);
    expect(await image.program('lxcfs', '--version')).toMatch(/^"?5\.0/);
    // As `hotmount lxcfs` runs them, without the right to change the root.
    const run =
      'lib=$(echo $tree/usr/lib/*-linux-gnu); $lib/ld-linux* --library-path $lib $tree/usr/bin/lxcfs --version';
    expect(await image.program('sh', '-ec', `for tree in /opt/lxcfs/*; do ${run}; done`)).toMatch(
      /^"7\.0.*"\n"6\.0.*"$/,
    );
    expect(await image.program('sh', '-c', 'command -v gcc make python3; ls node_modules | grep -x vitest; true')).toBe(
      '',
    );
    const help = image.start(['node', '--help']);
    expect(await help.ended, help.output()).toBe(0);
  });

  it('serves the lxcfs that fits the node, of those that it has', async () => {
    const runDir = rig.path('lxcfs-run');
    mkdirSync(runDir);
    run('mount', '-t', 'tmpfs', 'run', runDir);
    run('mount', '--make-shared', runDir);
    rig.onClose('process', () => endLxcfs(runDir));
    const running = image.start(['lxcfs', '--run-dir', '/run/hotmount', '--check-every', '1'], {
      user: 0,
      privileged: true,
      mounts: [{ destination: '/run/hotmount', source: runDir, type: 'bind', options: ['rbind', 'rshared'] }],
    });
    const status = await until('it is settled', async () => {
      const now = await fetchLxcfsStatus(runDir);
      if (now?.settled) return now;
      ended(running, 'settled');
      return undefined;
    });
    const fitting = CGROUP_V2 ? '/opt/lxcfs/sid/usr/bin/lxcfs' : '/opt/lxcfs/trixie/usr/bin/lxcfs';
    expect(status.program?.path).toBe(newerLxcfsRuns() ? fitting : '/usr/bin/lxcfs');
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
