import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LXCFS_VIEW_NAMES } from '../../../../src/contract/wants.ts';
import { countCpus, parseSummary, SUMMARIZE, type Told, untrueViews } from '../../../../src/node/lxcfs/truth.ts';

const FILES: Readonly<Record<string, string>> = {
  'proc/cpuinfo': 'processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\nmodel name\t: x\n',
  'proc/stat': 'cpu  100 20 3 4000 5 6 7 0 0 0\ncpu0 50 10 1 2000 0 0 0 0 0 0\ncpu1 50 10 2 2000 0 0 0 0 0 0\nintr 9\n',
  'proc/uptime': '12.34 20.00\n',
  'proc/loadavg': '0.00 0.01 0.05 1/234 5678\n',
  'proc/swaps': 'Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 1024 0 100\nnone virtual 5 0 0\n',
  'proc/diskstats': '   8       0 sda 10 0 300 5 20 0 400 6 0 7 8 0 0 0 0\n   8       1 sda1 1 0 1 1 1 0 2 1 0 1 1\n',
  'sys/devices/system/cpu/online': '0-1\n',
};

describe('what a reader is told', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-truth-'));
    for (const name of ['proc', 'sys/devices/system/cpu']) mkdirSync(join(dir, name), { recursive: true });
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(dir, name), text);
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('is summed up by one awk, whatever else its output has', () => {
    const output = execFileSync('awk', [SUMMARIZE, ...Object.keys(FILES)], { cwd: dir, encoding: 'utf8' });
    expect(parseSummary(`MemTotal: 5 kB\nserves /proc/stat\n${output}`, LXCFS_VIEW_NAMES)).toEqual({
      cpuinfo: 2,
      statCpus: 2,
      statBusy: 123,
      cpuOnline: 2,
      uptime: 12.34,
      loadavgTasks: 234,
      swaps: ['/dev/zram0', 'none'],
      diskSectors: 703,
    });
    expect(parseSummary(output, ['uptime'])).toEqual({ uptime: 12.34 });
  });

  it('has processors in ranges', () => {
    expect(['0', '0-3', '0-1,4,6-7', '0-127\n', ''].map(countCpus)).toEqual([1, 4, 5, 128, 0]);
  });
});

describe('views that tell the node’s values', () => {
  const node: Told = {
    cpuOnline: 4,
    statBusy: 90_000,
    uptime: 5000,
    loadavgTasks: 400,
    swaps: ['/dev/sda2'],
    diskSectors: 900_000,
  };
  const own: Told = {
    cpuinfo: 1,
    statCpus: 1,
    cpuOnline: 1,
    statBusy: 2,
    uptime: 0.4,
    loadavgTasks: 1,
    swaps: ['none'],
    diskSectors: 8,
  };
  const views = (told: Told, nodeTold = node) => untrueViews({ ...own, ...told }, nodeTold, 1).map(({ view }) => view);

  it('are none where each is the reader’s own, or is not there', () => {
    expect(views({})).toEqual([]);
    expect(untrueViews({}, node, 1)).toEqual([]);
  });

  it.each([
    ['cpuinfo', { cpuinfo: 4 }],
    ['stat', { statCpus: 4 }],
    ['cpuinfo', { cpuinfo: 0 }],
    ['stat', { statCpus: 0, statBusy: Number.NaN }],
    ['cpu', { cpuOnline: 0 }],
    ['stat', { statBusy: 89_990 }],
    // One processor's worth, as if it were the only one.
    ['stat', { statBusy: 22_000 }],
    ['cpu', { cpuOnline: 4 }],
    ['uptime', { uptime: 5000.4 }],
    ['loadavg', { loadavgTasks: 401 }],
    ['swaps', { swaps: ['/dev/sda2'] }],
    ['diskstats', { diskSectors: 900_100 }],
  ] as const)('%s, by %j', (view, told) => {
    expect(views(told)).toEqual([view]);
  });

  it('name a view once, with what was seen first', () => {
    const told = { ...own, statCpus: 4, statBusy: 90_000 };
    expect(untrueViews(told, node, 1)).toEqual([{ view: 'stat', why: '4 processors, where a reader may use 1' }]);
  });

  it('are not guessed: where the reader has no limit, the node has one processor, or has just booted, equal values prove nothing', () => {
    expect(untrueViews({ cpuinfo: 4, statCpus: 4, cpuOnline: 4 }, node, undefined)).toEqual([]);
    expect(views({}, { ...node, cpuOnline: 1 })).toEqual([]);
    const booted: Told = { cpuOnline: 4, statBusy: 300, uptime: 4, loadavgTasks: 30, swaps: [], diskSectors: 900 };
    expect(views({ statBusy: 300, uptime: 4, loadavgTasks: 30, diskSectors: 900 }, booted)).toEqual([]);
  });
});
