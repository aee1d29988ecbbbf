import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { podName, publishedVolumes } from '../../../src/node/csi/target.ts';

const UID = '11111111-2222-3333-4444-555555555555';
let kubeletDir: string;

beforeEach(() => {
  kubeletDir = mkdtempSync(join(tmpdir(), 'hotmount-kubelet-'));
});
afterEach(() => rmSync(kubeletDir, { recursive: true }));

describe('the published volumes', () => {
  it('are none without a kubelet, and where no pod has any', () => {
    expect(publishedVolumes(join(kubeletDir, 'missing'))).toEqual([]);
    mkdirSync(join(kubeletDir, 'pods', UID), { recursive: true });
    writeFileSync(join(kubeletDir, 'pods', 'file'), '');
    expect(publishedVolumes(kubeletDir)).toEqual([]);
  });

  it('are not taken for none where they cannot be read: a cleanup would unmount what pods use', () => {
    symlinkSync('pods', join(kubeletDir, 'pods'));
    expect(() => publishedVolumes(kubeletDir)).toThrow('ELOOP');
  });

  it('give no name of a pod where they cannot be read: a log goes on without', () => {
    symlinkSync('pods', join(kubeletDir, 'pods'));
    expect(podName(kubeletDir, UID)).toBeUndefined();
  });
});
