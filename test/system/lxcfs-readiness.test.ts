import { afterEach, beforeEach, expect, it } from 'vitest';
import { freePorts } from '../ports.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('the readiness of hotmount lxcfs', ['lxcfs'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const readiness = async (port: number): Promise<[number, string]> => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
    return [answer.status, await answer.text()];
  };
  const ready = (port: number) =>
    until('it is ready', async () => {
      const [status, text] = await readiness(port);
      if (status !== 200) throw new Error(text);
      return text === 'ok\n';
    });
  const start = (port: number) => new LxcfsService(rig, ['--health-port', `${port}`]).spawn();

  it('is that containers read from what this supervisor has started', async () => {
    const [port = 0, nextPort = 0] = await freePorts(2);
    const first = start(port);
    await ready(port);
    const next = start(nextPort);
    await ready(nextPort);
    expect(await readiness(port)).toEqual([503, 'another supervisor has taken over\n']);
    await next.kill();
    await first.logged(/going on/);
    await ready(port);
  });

  it('cannot be told on a port that is in use', async () => {
    const [port = 0] = await freePorts(1);
    start(port);
    await ready(port);
    const second = start(port);
    expect(await second.ended()).toBe(1);
    const [, said] = await second.logged(/error: (cannot listen.*)/);
    expect(said).toBe(`cannot listen on port ${port}: another process uses it; choose another (--health-port)`);
    await ready(port);
  });
});
