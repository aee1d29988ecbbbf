import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReadingContainer } from './lxcfs/reading.ts';
import { Rig } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('/proc/pressure, which lxcfs 7.0 serves', ['runc', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('is no view: runc starts no container with anything mounted there', () => {
    const source = rig.path('served');
    mkdirSync(`${source}/proc/pressure`, { recursive: true });
    for (const name of ['cpu', 'io', 'memory']) writeFileSync(`${source}/proc/pressure/${name}`, 'some avg10=0.00\n');
    for (const files of [['/proc/pressure/cpu'], ['/proc/pressure']]) {
      const container = new ReadingContainer(rig, { source, files, read: [] });
      expect(() => container.start()).toThrow(/cannot be mounted because it is inside (\\"|")?\/proc/);
    }
  });
});
