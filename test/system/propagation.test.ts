import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchStatus } from '../../src/node/server.ts';
import { CLI } from './support/cli-process.ts';
import { Container } from './support/container.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('mount propagation', ['runc', 'busybox', 'unshare'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  /** A volume on a shared mount, as /run and /var/lib/kubelet are on a node with systemd. */
  function volume(): string {
    const path = rig.path('volume');
    mkdirSync(path);
    run('mount', '-t', 'tmpfs', 'volume', path);
    run('mount', '--make-shared', path);
    for (const name of ['from-host', 'from-container']) mkdirSync(`${path}/${name}`);
    return path;
  }
  const mounting = (source: string, propagation: 'private' | 'rslave' | 'rshared') => ({
    mounts: [{ source, target: '/volume', propagation }],
  });

  it('of a mount on the host reaches HostToContainer, and not None', () => {
    const source = volume();
    const none = new Container(rig, mounting(source, 'private'));
    const hostToContainer = new Container(rig, mounting(source, 'rslave'));
    run('mount', '-t', 'tmpfs', 'x', `${source}/from-host`);
    writeFileSync(`${source}/from-host/file`, '');
    expect(hostToContainer.sees('/volume/from-host/file')).toBe(true);
    expect(none.sees('/volume/from-host/file')).toBe(false);
  });

  it('of a mount in a Bidirectional container reaches the host and another container', () => {
    const source = volume();
    const bidirectional = new Container(rig, { ...mounting(source, 'rshared'), privileged: true });
    const other = new Container(rig, mounting(source, 'rslave'));
    bidirectional.sh('mount -t tmpfs x /volume/from-container && touch /volume/from-container/file');
    expect(run('ls', `${source}/from-container`)).toBe('file');
    expect(other.sees('/volume/from-container/file')).toBe(true);
  });

  it('is missed by a daemon whose run dir is cut off: it says which setting to change, and is never ready', async () => {
    const runDir = rig.path('run');
    mkdirSync(runDir);
    const args = ['--mount', '--propagation', 'private', process.execPath, CLI, 'node', '--run-dir', runDir];
    const child = spawn('unshare', [...args, '--metrics-port', '0', '--host', '127.0.0.1', '--lxcfs', 'off'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    rig.onClose('process', () => child.kill('SIGKILL'));
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await until('the daemon serves', () => log.includes('serving'));
    const port = Number(/"metricsPort":(\d+)/.exec(log)?.[1]);
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('mountPropagation: Bidirectional');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await fetchStatus(runDir)).toBeUndefined();
  });
});
