import { readFileSync } from 'node:fs';
import type { LxcfsView } from '../../contract/wants.ts';
import { isErrno } from '../../linux/errors.ts';

/** What the views say, or the node's own files: those of them that are there. */
export interface Told {
  /** Processors. */
  readonly cpuinfo?: number;
  readonly statCpus?: number;
  readonly cpuOnline?: number;
  /** Time spent in user, nice and system mode, in ticks of 10 ms. */
  readonly statBusy?: number;
  /** s. */
  readonly uptime?: number;
  /** Tasks that there are. */
  readonly loadavgTasks?: number;
  /** By name. */
  readonly swaps?: readonly string[];
  /** Read and written, over all disks. */
  readonly diskSectors?: number;
}

export interface Untrue {
  readonly view: LxcfsView;
  /** `4 processors, where a reader may use 1` */
  readonly why: string;
  /** In some pods, or in one of several values: the rest is right, and the view is served all the same. */
  readonly isPartly?: true;
}

/** Reads some of procfs and sysfs, wherever they are, in one process: on a large node cpuinfo alone is megabytes. */
export const SUMMARIZE = `
FILENAME ~ /cpuinfo$/ && /^processor/ { cpus++ }
FILENAME ~ /\\/stat$/ && /^cpu[0-9]/ { stats++ }
FILENAME ~ /\\/stat$/ && $1 == "cpu" { print "busy", $2 + $3 + $4 }
FILENAME ~ /online$/ { print "online", $1 }
FILENAME ~ /uptime$/ { print "uptime", $1 }
FILENAME ~ /loadavg$/ { split($4, tasks, "/"); print "tasks", tasks[2] }
FILENAME ~ /swaps$/ && FNR > 1 { print "swap", $1 }
FILENAME ~ /diskstats$/ { sectors += $6 + $10 }
END { print "cpus", cpus + 0; print "stats", stats + 0; print "sectors", sectors + 0 }`;

/** Reads what SUMMARIZE has printed. Lines of others are left alone. */
export function parseSummary(text: string, views: readonly string[]): Told {
  const all = (key: string): string[] => [...text.matchAll(new RegExp(`^${key} (.*)$`, 'gm'))].map(([, v]) => v ?? '');
  const number = (key: string): number => Number(all(key)[0]);
  const has = (view: LxcfsView): boolean => views.includes(view);
  return {
    ...(has('cpuinfo') && { cpuinfo: number('cpus') }),
    ...(has('stat') && { statCpus: number('stats'), statBusy: number('busy') }),
    ...(has('cpu') && { cpuOnline: countCpus(all('online')[0] ?? '') }),
    ...(has('uptime') && { uptime: number('uptime') }),
    ...(has('loadavg') && { loadavgTasks: number('tasks') }),
    ...(has('swaps') && { swaps: all('swap') }),
    ...(has('diskstats') && { diskSectors: number('sectors') }),
  };
}

/** Of a list as the kernel writes it, `0-3,8`. */
export function countCpus(list: string): number {
  return list
    .trim()
    .split(',')
    .filter(Boolean)
    .map((range) => range.split('-').map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
}

/** Ticks that a reader has not used since it was started, whatever it did; the node's processors have, soon after boot. */
const FRESH_TICKS = 1000;
/** s. A reader is told how old its container is: less, by its deadline. */
const FRESH_SECONDS = 30;
const FEW_TASKS = 20;
const FEW_SECTORS = 2000;

/**
 * Which views tell the node's values, or nothing. A value that is merely wrong is not meant: a reader that has just been started, alone in
 * its cgroup, has used next to nothing, and the node has used a lot.
 * @param maxCpus processors that the reader may use, undefined where it has no limit
 */
export function untrueViews(told: Told, node: Told, maxCpus: number | undefined): Untrue[] {
  const found: Untrue[] = [];
  const test = (view: LxcfsView, isUntrue: boolean, why: string): void => {
    if (isUntrue && !found.some((other) => other.view === view)) found.push({ view, why });
  };
  const processors = (view: LxcfsView, count: number | undefined): void => {
    // lxcfs before 7.0 has too little room for the stat of many processors that have long been up (lxcfs issue 694).
    test(view, count === 0, 'no processor at all');
    if (count === undefined || maxCpus === undefined || (node.cpuOnline ?? 1) <= maxCpus) return;
    test(view, count > maxCpus, `${count} processors, where a reader may use ${maxCpus}`);
  };
  processors('cpuinfo', told.cpuinfo);
  processors('stat', told.statCpus);
  processors('cpu', told.cpuOnline);
  const isOver = (value: number | undefined, most: number, nodes: number | undefined): boolean =>
    (value ?? 0) > most && (nodes ?? 0) > 2 * most;
  test(
    'stat',
    isOver(told.statBusy, FRESH_TICKS, node.statBusy),
    `${told.statBusy} ticks of processor time, of which the reader has used next to none`,
  );
  test('uptime', isOver(told.uptime, FRESH_SECONDS, node.uptime), `${told.uptime} s, and the reader has just started`);
  const { loadavgTasks, diskSectors, swaps = [] } = told;
  test(
    'loadavg',
    isOver(loadavgTasks, Math.max(FEW_TASKS, (node.loadavgTasks ?? 0) / 4), node.loadavgTasks),
    `${loadavgTasks} tasks, and the reader is one of a few`,
  );
  const nodes = swaps.filter((name) => node.swaps?.includes(name));
  test('swaps', nodes.length > 0, `the node’s ${nodes.join(', ')}`);
  test(
    'diskstats',
    isOver(diskSectors, Math.max(FEW_SECTORS, (node.diskSectors ?? 0) / 4), node.diskSectors),
    `${diskSectors} sectors, of which the reader has read and written next to none`,
  );
  return found;
}

/** What the node's own files say. @throws Node's error where one cannot be read now: a view would pass for true that nothing is compared with */
export function nodeTold(): Told {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'latin1');
    } catch (error) {
      // Not in this kernel, or not for this process to read.
      if (!isErrno(error, 'ENOENT', 'EACCES', 'EPERM')) throw error;
      return '';
    }
  };
  const busy = /^cpu +(\d+) (\d+) (\d+)/.exec(read('/proc/stat'))?.slice(1) ?? [];
  const sectors = read('/proc/diskstats').matchAll(/^ *\d+ +\d+ \S+ \d+ \d+ (\d+) \d+ \d+ \d+ (\d+)/gm);
  return {
    cpuOnline: countCpus(read('/sys/devices/system/cpu/online')),
    statBusy: busy.reduce((sum, ticks) => sum + Number(ticks), 0),
    uptime: Number.parseFloat(read('/proc/uptime')),
    loadavgTasks: Number(/\/(\d+) /.exec(read('/proc/loadavg'))?.[1]),
    swaps: read('/proc/swaps')
      .split('\n')
      .slice(1)
      .flatMap((line) => line.split(/\s/)[0] || []),
    diskSectors: [...sectors].reduce((sum, [, got, put]) => sum + Number(got) + Number(put), 0),
  };
}
