import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fetchLxcfsStatus } from '../../src/node/lxcfs/api.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { mountPointsBelow, Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('hotmount node --cleanup, after a daemon with its own lxcfs', ['lxcfs'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('ends the supervisor that the daemon had started, and every lxcfs', async () => {
    const daemon = await new Daemon(rig, { args: ['--lxcfs', 'auto'] }).start();
    const status = await until('lxcfs serves', async () => {
      const found = await fetchLxcfsStatus(daemon.runDir);
      return found?.ready ? found : undefined;
    });
    await daemon.stop();
    expect(existsSync(`/proc/${status.supervisor.pid}`)).toBe(true);
    const args = [CLI, 'node', '--cleanup', '--no-csi', '--run-dir', daemon.runDir];
    const { status: code, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('ended the supervisor of lxcfs that hotmount node had started');
    for (const { pid } of [status.supervisor, ...status.instances]) {
      await until(`process ${pid} has ended`, () => !existsSync(`/proc/${pid}`));
    }
    expect(mountPointsBelow(daemon.runDir)).toEqual([]);
  });
});
