import pino from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { Examinations, findings } from '../../../../src/node/lxcfs/examination.ts';

const output = ({ total = 65_536, available = 36_000, cpuinfo = 1, stats = 1, online = '0', filled = 'filled\n' }) =>
  `${filled}MemTotal:       ${total} kB\nMemFree:  1 kB\nMemAvailable:   ${available} kB\nbusy 2\nonline ${online}\ncpus ${cpuinfo}\nstats ${stats}\nsectors 0\n`;
const views = (text: string) => findings(text, 1, 4).map(({ view }) => view);

describe('what a reader is told whose limits are its pod’s, with a tmpfs in use', () => {
  it('may all be right', () => {
    expect(views(output({}))).toEqual([]);
  });

  it('may be the node’s memory, and then what is available of it says nothing', () => {
    const [finding, ...others] = findings(output({ total: 24_684_084, available: 24_000_000 }), 1);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      view: 'meminfo',
      isPartly: true,
      why: expect.stringMatching(/^24684084 kB .*65536/),
    });
  });

  it('may have the tmpfs among what is available', () => {
    expect(findings(output({ available: 64_000 }), 1)).toEqual([
      { view: 'meminfo', isPartly: true, why: '64000 kB available of 65536 kB, of which a tmpfs fills 24576 kB' },
    ]);
    expect(views(output({ available: 64_000, filled: '' }))).toEqual([]);
  });

  it('may be the node’s processors', () => {
    expect(findings(output({ cpuinfo: 4, stats: 1, online: '0-3' }), 1, 4)).toEqual([
      { view: 'cpuinfo', isPartly: true, why: expect.stringMatching(/^4 processors .* 1$/) },
      { view: 'cpu', isPartly: true, why: expect.stringMatching(/^4 processors .* 1$/) },
    ]);
  });

  it('is not asked for processors where the node limits none', () => {
    expect(findings(output({ cpuinfo: 4, stats: 4, online: '0-3' }), undefined, 4)).toEqual([]);
  });
});

describe('an examination that fails', () => {
  it('is made again, ever more rarely', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      let tries = 0;
      const examinations = new Examinations(pino({ level: 'debug' }, { write: () => void tries++ }));
      const ask = () =>
        examinations.of(
          { record: { fingerprint: 'a', version: '5.0.3' }, mountPoint: '/nowhere' },
          { version: 'v2', memory: '/dev/null' },
        );
      const triesAfter = async (seconds: number): Promise<number> => {
        vi.advanceTimersByTime(seconds * 1000);
        expect(await ask()).toEqual([]);
        return tries;
      };
      expect(await triesAfter(0)).toBe(1);
      expect(await triesAfter(9)).toBe(1);
      expect(await triesAfter(1)).toBe(2);
      expect(await triesAfter(19)).toBe(2);
      expect(await triesAfter(1)).toBe(3);
    } finally {
      vi.useRealTimers();
    }
  });
});
