import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { residentMemory } from '../../../src/linux/process-memory.ts';

/** A busy machine takes its time; vitest waits for one second. */
const PATIENCE = { timeout: 20_000 };

describe.skipIf(process.platform !== 'linux')('the memory of a process', () => {
  it('is what it has now', () => {
    expect(residentMemory(process.pid)).toBeGreaterThan(16 << 20);
  });

  it('is none where it has ended, before and after its parent has waited for it', async () => {
    // What the shell becomes waits for no child.
    const parent = spawn('sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = await once(parent.stdout, 'data');
      const pid = Number(String(line));
      const isSleep = () => expect(readFileSync(`/proc/${parent.pid}/comm`, 'latin1')).toBe('sleep\n');
      await vi.waitFor(isSleep, PATIENCE);
      process.kill(pid, 'SIGKILL');
      await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/status`, 'latin1')).toMatch(/^State:\s+Z/m), PATIENCE);
      expect(residentMemory(pid)).toBe(0);
      const ended = once(parent, 'exit');
      parent.kill('SIGKILL');
      await ended;
      expect(residentMemory(parent.pid as number)).toBe(0);
    } finally {
      parent.kill('SIGKILL');
    }
  });
});
