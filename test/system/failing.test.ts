import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { constants } from 'node:os';
import koffi from 'koffi';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { libc } from '../../src/linux/libc.ts';
import { listenForUevents } from '../../src/linux/uevents.ts';
import { openRunDir } from '../../src/node/run-dir/run-dir.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a daemon that cannot do its job', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('ends, with exit code 1, where it fails in the middle of its start', async () => {
    const daemon = new Daemon(rig);
    const runDir = openRunDir(daemon.runDir);
    writeFileSync(`${runDir.work}/.self-test`, 'no directory');
    daemon.spawn();
    expect(await daemon.ended()).toBe(1);
    await daemon.logged(/error: E(EXIST|NOTDIR).*\.self-test/);

    rmSync(`${runDir.work}/.self-test`);
    runDir.close();
    await daemon.start();
  });

  it('hears that events are not heard any more, once they were', async () => {
    let failure: Error | undefined;
    const listener = listenForUevents(
      {},
      () => {},
      (error) => {
        failure = error;
      },
    );
    const { recvfrom } = libc;
    libc.recvfrom = Object.assign(() => {
      koffi.errno(constants.errno.ENOTSOCK);
      return -1;
    }, recvfrom);
    rig.onClose('process', () => Object.assign(libc, { recvfrom }));
    new LoopDisk(rig).plug();
    expect(await until('it fails', () => failure?.message)).toContain('ENOTSOCK');
    listener.close();
  });

  it('ends where its port is taken, and says so', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    rig.onClose('process', () => other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const daemon = new Daemon(rig, { args: ['--metrics-port', String(port)] });
    daemon.spawn();
    expect(await daemon.ended()).toBe(1);
    const [, said] = await daemon.logged(/error: (cannot listen.*)/);
    expect(said).toBe(
      `cannot listen on port ${port} of 127.0.0.1: another process uses it; choose another (--metrics-port, --host)`,
    );
  });

  it('answers those who ask although others hold connections, and ends those', async () => {
    const daemon = await new Daemon(rig).start();
    const port = await daemon.metricsPort();
    const idle = Array.from({ length: 200 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    rig.onClose('process', () => {
      for (const socket of idle) socket.destroy();
    });
    expect((await daemon.status())?.daemon.ready).toBe(true);
    await until('it has ended them all', () => idle.every((socket) => socket.closed || socket.destroyed), 60);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  });
});
