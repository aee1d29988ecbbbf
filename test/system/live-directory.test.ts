import { rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeLiveDirectory, mendLiveDirectory, readLiveRecord } from '../../src/node/live/directory.ts';
import type { RunDir } from '../../src/node/run-dir/run-dir.ts';
import { Rig, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const UID = '9f0c1c1e-0000-4000-8000-000000000001';
const RECORD = { pod: 'edge-1/web', namespace: 'edge-1', serviceAccount: 'default' };

describeSystem('the directory of a live pod, of which the record was read', [], () => {
  let rig: Rig;
  let runDir: RunDir;

  beforeEach(() => {
    rig = new Rig();
    runDir = { work: rig.path('work') } as RunDir;
    run('mkdir', runDir.work);
    run('mount', '-t', 'tmpfs', 'test', runDir.work);
    makeLiveDirectory(runDir, UID, RECORD);
  });
  afterEach(async () => {
    run('umount', runDir.work);
    await rig.close();
  });

  it('is made whole where something of it is missing', () => {
    rmSync(`${runDir.work}/live/${UID}/media`, { recursive: true });
    expect(mendLiveDirectory(runDir, UID, RECORD).isReplacement).toBe(false);
    expect(readLiveRecord(runDir, UID)?.isReplacement).toBe(false);
  });

  it('is a replacement where all of it has been removed since: containers may have the one that was', () => {
    rmSync(`${runDir.work}/live/${UID}`, { recursive: true });
    expect(mendLiveDirectory(runDir, UID, RECORD).isReplacement).toBe(true);
    expect(readLiveRecord(runDir, UID)?.isReplacement).toBe(true);
  });
});
