import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isPublished, podName, publishedVolumes } from '../../../src/node/csi/target.ts';

/** The attributes of a link, which root alone may have, and what the kernel says instead of them. */
const attributes = vi.hoisted(() => ({ code: undefined as string | undefined, asked: [] as string[] }));
vi.mock('../../../src/linux/xattr.ts', () => ({
  getAttribute(path: string, name: string) {
    attributes.asked.push(path);
    if (attributes.code !== undefined) throw Object.assign(new Error(attributes.code), { code: attributes.code });
    return name.endsWith('.pod') ? 'edge/web' : 'default';
  },
}));

const UID = '11111111-2222-3333-4444-555555555555';
let kubeletDir: string;

beforeEach(() => {
  kubeletDir = mkdtempSync(join(tmpdir(), 'hotmount-kubelet-'));
});
afterEach(() => {
  rmSync(kubeletDir, { recursive: true });
  Object.assign(attributes, { code: undefined, asked: [] });
});

const makeVolume = (name: string): string => {
  const path = join(kubeletDir, 'pods', UID, 'volumes/kubernetes.io~csi', name);
  mkdirSync(path, { recursive: true });
  return path;
};

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

  it('are not taken for another driver’s where their attributes cannot be read', () => {
    symlinkSync('/run/hotmount/media/usb', join(makeVolume('usb'), 'mount'));
    expect(publishedVolumes(kubeletDir)).toMatchObject([{ volume: 'usb', pod: 'edge/web' }]);
    attributes.code = 'ENOMEM';
    expect(() => publishedVolumes(kubeletDir)).toThrow('ENOMEM');
    attributes.code = 'ENOTSUP';
    expect(publishedVolumes(kubeletDir)).toEqual([]);
  });

  it('are found without asking what other drivers have mounted there, which may hang', () => {
    mkdirSync(join(makeVolume('bucket'), 'mount'));
    expect(publishedVolumes(kubeletDir)).toEqual([]);
    expect(attributes.asked).toEqual([]);
  });
});

describe('a volume that is published again', () => {
  const source = '/run/hotmount/media/usb';
  const published = () => isPublished(kubeletDir, { podUid: UID, volume: 'usb' }, source, 'edge/web');

  it('is not taken for a new one where that cannot be told: its pod keeps what it has', () => {
    mkdirSync(join(kubeletDir, 'pods'));
    expect(published()).toBe(false);
    symlinkSync(source, join(makeVolume('usb'), 'mount'));
    expect(published()).toBe(true);
    attributes.code = 'ENOMEM';
    expect(published).toThrow('ENOMEM');
  });
});
