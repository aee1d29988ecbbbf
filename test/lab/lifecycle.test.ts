import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { describeWithQemu } from './describe-in-lab.ts';
import { startLab } from './lab.ts';
import { removeLeftovers } from './virtual-machine.ts';

/** Whether a process exists and is more than a zombie. */
const alive = (pid: number) => existsSync(`/proc/${pid}/exe`);

describeWithQemu('a lab', () => {
  test.concurrent('whose guest panics ends everything that waits for it with the end of the console, and stops clean', async ({
    expect,
    onTestFinished,
  }) => {
    const lab = await startLab();
    onTestFinished(() => lab.stop());
    const daemon = lab.spawn('sleep 1000');
    await daemon.pid;
    await expect(lab.run('echo c > /proc/sysrq-trigger; sleep 1000')).rejects.toThrow(
      /guest has ended.*[\s\S]*Kernel panic/,
    );
    await expect(daemon.exited).rejects.toThrow(/Kernel panic/);
    await expect(lab.run('true')).rejects.toThrow(/guest has ended/);
    expect(lab.running).toBe(false);
    expect(lab.console()).toContain('sysrq triggered crash');
    await lab.stop();
    await lab.stop();
    expect(existsSync(lab.directory)).toBe(false);
  });

  test.concurrent('boots to systemd where that is asked for, and again with what is plugged in', async ({
    expect,
    onTestFinished,
  }) => {
    const lab = await startLab({ init: 'systemd' });
    onTestFinished(() => lab.stop());
    expect(await lab.sh('cat /proc/1/comm; systemctl is-system-running --wait')).toMatch(
      /^systemd\n(running|degraded)$/,
    );
    expect(await lab.sh('systemd-run -q --scope -p MemoryMax=32M cat /proc/self/cgroup')).toMatch(
      /^0::\/system.slice\/run-.*\.scope$/,
    );
    const stick = await lab.plugUsbStick({ image: await lab.makeStick({ fs: 'vfat', label: 'DATA' }) });
    await stick.disk();
    const daemon = lab.spawn('touch /tmp/before; sleep 1000');
    await lab.reboot();
    await expect(daemon.exited).rejects.toThrow('the guest has rebooted');
    expect(await lab.sh('[ ! -e /tmp/before ]; cat /proc/1/comm')).toBe('systemd');
    await stick.disk();
    await lab.stop();
    expect(alive(lab.pid)).toBe(false);
    expect(existsSync(lab.directory)).toBe(false);
  }, 600_000);

  test.concurrent('dies with the process that started it, however that ends', async ({ expect, onTestFinished }) => {
    const script = `import { startLab } from ${JSON.stringify(fileURLToPath(new URL('lab.ts', import.meta.url)))};
      const lab = await startLab(); console.log(JSON.stringify([lab.pid, lab.directory])); setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void owner.kill('SIGKILL'));
    const line = await new Promise<string>((resolve) => owner.stdout.once('data', (data) => resolve(String(data))));
    const [pid, directory] = JSON.parse(line) as [number, string];
    expect(alive(pid)).toBe(true);
    const ended = once(owner, 'exit');
    owner.kill('SIGKILL');
    await ended;
    while (alive(pid)) await sleep(20);
    await removeLeftovers();
    expect(existsSync(directory)).toBe(false);
  });
});
