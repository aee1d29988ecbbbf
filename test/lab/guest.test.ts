import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';

describeInLab('the guest', (lab) => {
  test('runs a kernel of its own on the files of this machine', async () => {
    expect(await lab().sh('uname -r')).not.toBe(release());
    expect(await lab().sh('cat /etc/os-release; id -u')).toMatch(/^PRETTY_NAME=[\s\S]*\n0$/);
  });

  test('has a pure cgroup v2 with the controllers handed down', async () => {
    expect(await lab().sh('grep -c cgroup /proc/mounts; stat -fc %T /sys/fs/cgroup')).toBe('1\ncgroup2fs');
    const controllers = await lab().sh('cat /sys/fs/cgroup/cgroup.subtree_control');
    expect(controllers.split(' ')).toEqual(expect.arrayContaining(['cpuset', 'cpu', 'io', 'memory', 'pids']));
  });

  test('has the checkout as its working directory, and what it writes there stays in the guest', async () => {
    const name = `written-in-the-guest-${randomUUID()}`;
    expect(await lab().sh(`pwd; touch ${name} && ls ${name} && rm ${name}`)).toBe(`${process.cwd()}\n${name}`);
    await lab().sh(`touch ${name}`);
    expect(existsSync(join(process.cwd(), name))).toBe(false);
  });

  test('propagates mounts from the root down, as systemd sets it up', async () => {
    expect(await lab().sh('findmnt -no PROPAGATION /')).toBe('shared');
  });

  test('runs TypeScript on the Node of node_modules, and koffi in it', async () => {
    await lab().writeFile(
      '/tmp/libc.ts',
      `import { createRequire } from 'node:module';
       const koffi = createRequire('${process.cwd()}/package.json')('koffi');
       const pid: number = koffi.load('libc.so.6').func('int getpid()')();
       console.log(process.version, pid === process.pid);`,
    );
    expect(await lab().sh('node /tmp/libc.ts; rm /tmp/libc.ts')).toBe(`${process.version} true`);
  });

  test('loads further drivers on demand: file systems, loop devices, zram', async () => {
    const driven = await lab().sh(
      `truncate -s 16M /tmp/loop.img && mkfs.ext4 -q /tmp/loop.img && mkdir /tmp/m && mount -o loop /tmp/loop.img /tmp/m
       findmnt -no FSTYPE /tmp/m; umount /tmp/m; rm -r /tmp/loop.img /tmp/m; modprobe zram; ls /sys/class/zram-control/hot_add`,
    );
    expect(driven).toBe('ext4\n/sys/class/zram-control/hot_add');
  });
});

describeInLab('commands in the guest', (lab) => {
  test('give their exit code, signal and both outputs', async () => {
    const result = await lab().run('echo out; echo err >&2; exit 3');
    expect(result).toEqual({ code: 3, signal: null, stdout: 'out\n', stderr: 'err\n' });
    expect(await lab().run('kill -9 $$')).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  test('carry any bytes and plenty of them in both directions', async () => {
    const sent = `${'hot plügged ✓ \u0000 '.repeat(15_000)}end`;
    expect((await lab().run('cat', { input: sent })).stdout).toBe(sent);
  });

  test('take an environment and a directory', async () => {
    expect(await lab().sh('echo "$GREETING from $PWD"', { env: { GREETING: 'hello' }, cwd: '/usr' })).toBe(
      'hello from /usr',
    );
  });

  test('run beside each other', async () => {
    const first = lab().run('until [ -e /tmp/meet ]; do sleep 0.05; done; echo met; rm /tmp/meet');
    await lab().sh('touch /tmp/meet');
    expect((await first).stdout).toBe('met\n');
  });

  test('that are late are killed with all they started', async () => {
    const late = lab().run('sleep 1234 & wait', { timeoutMs: 1_000 });
    await expect(late).rejects.toThrow(/sleep 1234 & wait: still running after 1000 ms, killed/);
    await lab().waitUntil('! pgrep -x -f "sleep 1234"');
  });

  test('that leave something running in the background come back all the same', async () => {
    expect(await lab().sh('sleep 1235 & echo $!')).toMatch(/^\d+$/);
    await lab().sh('pkill -x -f "sleep 1235"');
  });

  test('that fail where they must not say why', async () => {
    await expect(lab().sh('ls /nowhere')).rejects.toThrow(/ls \/nowhere: exit code 2\nstderr: .*No such file/);
  });

  test('that cannot be started say why', async () => {
    await expect(lab().run('true', { cwd: '/nowhere' })).rejects.toThrow(/ENOENT/);
  });

  test('that are spawned are written to, read, signalled and awaited', async () => {
    const daemon = lab().spawn(
      'trap "echo bye; exit 7" TERM; read -r name; echo "ready, $name"; while :; do sleep 0.05; done',
    );
    daemon.write('Ada\n');
    expect((await daemon.waitForOutput(/ready, (\w+)/))[1]).toBe('Ada');
    expect(await lab().sh(`cat /proc/${await daemon.pid}/comm`)).toBe('bash');
    daemon.kill('SIGTERM');
    expect(await daemon.exited).toEqual({ code: 7, signal: null });
    expect(daemon.stdout).toBe('ready, Ada\nbye\n');
    await expect(daemon.waitForOutput(/never/)).rejects.toThrow(/ended without writing \/never\/\nstdout: ready, Ada/);
  });
});
