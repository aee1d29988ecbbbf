import { rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LxcfsService } from './lxcfs/service.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a daemon that is started while its policy is broken', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it.each<[string, (daemon: Daemon) => void]>([
    ['is no policy', (daemon) => daemon.setPolicy('kind: Polizei\n')],
    ['is missing', (daemon) => rmSync(daemon.policyFile)],
  ])('goes on with the last good one where the file %s, and with the next good one', async (_, spoil) => {
    const daemon = await new Daemon(rig, { policy: rig.policy('- {name: old, match: [{label: [none]}]}') }).start();
    daemon.setPolicy(rig.policy());
    const inForce = async () => (await daemon.status())?.policy;
    const classes = async () => (await inForce())?.mediaClasses.join();
    await until('it is in force', async () => (await classes()) === 'test');
    const { since } = (await inForce()) ?? {};

    for (let i = 0; i < 2; i++) {
      expect(await daemon.stop()).toBe(0);
      spoil(daemon);
      const lives = daemon.log.length;
      await daemon.start();
      await until('it is in the status', async () => (await inForce())?.problem?.includes(daemon.policyFile));
      expect(await inForce()).toMatchObject({ since, mediaClasses: ['test'] });
      const { metricsPort } = await until('it serves', () => {
        const line = daemon.log
          .slice(lives)
          .split('\n')
          .find((text) => text.includes('"serving"'));
        return line && JSON.parse(line);
      });
      const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      expect(metrics).toMatch(/^hotmount_policy_broken 1$/m);
      await daemon.logged(new RegExp(`since ${since}`), lives);
      daemon.setPolicy(rig.policy());
    }
    const disk = new LoopDisk(rig);
    await daemon.mounted(disk.plug());

    daemon.setPolicy(rig.policy('- {name: new, match: [{label: [none]}]}'));
    await until('the new one is in force', async () => (await classes()) === 'new');
    expect((await inForce())?.problem).toBeUndefined();
    expect((await inForce())?.since).not.toBe(since);
  });

  it('ends where there never was a good one, or only one of another file', async () => {
    const daemon = new Daemon(rig, { policy: 'kind: Polizei\n' });
    const ends = async (): Promise<void> => {
      const from = daemon.log.length;
      daemon.spawn();
      await until('it has ended', () => daemon.hasEnded);
      await daemon.logged(/policy\.yaml:1:/, from);
    };
    await ends();
    const other = new Daemon(rig, { runDir: 'run', args: ['--policy', rig.path('other.yaml')] });
    daemon.setPolicy(rig.policy());
    await daemon.start();
    expect(await daemon.stop()).toBe(0);
    other.spawn();
    await until('it has ended', () => other.hasEnded);
    await other.logged(/other\.yaml/);
  });
});

describeSystem('hotmount lxcfs that is started while its policy is broken', ['lxcfs'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('goes on with the one that the daemon of the node had in force', async () => {
    const daemon = await new Daemon(rig).start();
    await daemon.stop();
    daemon.setPolicy('kind: Polizei\n');
    const service = await new LxcfsService(rig, ['--policy', daemon.policyFile]).start();
    await service.logged(/starting with the policy that was in force before/);
  });
});
