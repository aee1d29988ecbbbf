import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pollMedium } from '../../../src/linux/medium-polling.ts';

describe('a drive', () => {
  let sysfs: string;
  beforeEach(() => {
    sysfs = mkdtempSync(join(tmpdir(), 'hotmount-polling-'));
  });
  afterEach(() => rmSync(sysfs, { recursive: true }));

  /** @returns the interval that it is polled at then */
  function polled(events: string, { async = '', interval = '-1', ofAll = '0' } = {}): string {
    const [drive, parameters] = [join(sysfs, 'class/block/sdb'), join(sysfs, 'module/block/parameters')];
    for (const path of [drive, parameters]) mkdirSync(path, { recursive: true });
    writeFileSync(join(drive, 'events'), `${events}\n`);
    writeFileSync(join(drive, 'events_async'), `${async}\n`);
    writeFileSync(join(drive, 'events_poll_msecs'), `${interval}\n`);
    writeFileSync(join(parameters, 'events_dfl_poll_msecs'), `${ofAll}\n`);
    pollMedium('sdb', sysfs);
    return readFileSync(join(drive, 'events_poll_msecs'), 'utf8').trim();
  }

  it('whose medium can be another is polled, where the node would not, or seldom', () => {
    expect(polled('media_change')).toBe('1000');
    expect(polled('media_change eject_request', { ofAll: '2000' })).toBe('1000');
  });

  it('is left as it is where it tells by itself, is polled enough, or somebody has chosen how often', () => {
    expect(polled('')).toBe('-1');
    expect(polled('media_change', { async: 'media_change' })).toBe('-1');
    expect(polled('media_change', { ofAll: '500' })).toBe('-1');
    expect(polled('media_change', { interval: '0' })).toBe('0');
  });

  it('that is not there is no error', () => {
    expect(() => pollMedium('sdc', sysfs)).not.toThrow();
  });
});
