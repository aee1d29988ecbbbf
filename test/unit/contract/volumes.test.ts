import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isFileVolume,
  type OwnVolume,
  readVolumeAttributes,
  volumeAttributes,
  volumeName,
  volumePath,
} from '../../../src/contract/volumes.ts';
import { LXCFS_VIEW_NAMES } from '../../../src/contract/wants.ts';

const ALL: readonly OwnVolume[] = [
  { gives: 'media', class: 'usb', readOnly: false },
  { gives: 'media', class: 'usb', readOnly: true },
  { gives: 'media', class: 'usb', readOnly: false, ownUsers: true },
  { gives: 'media', class: 'usb', readOnly: true, ownUsers: true },
  { gives: 'devices', class: 'usb' },
  ...LXCFS_VIEW_NAMES.map((view) => ({ gives: 'lxcfs', view }) as const),
  { gives: 'dev' },
  { gives: 'udev' },
  { gives: 'live' },
];

describe("hotmount's volumes", () => {
  it.each(ALL)('are read as they are written: %j', (volume) => {
    expect(readVolumeAttributes(volumeAttributes(volume))).toEqual({ volume });
  });

  it('have names and paths of their own', () => {
    // Each pod has its volume of a class by one name, and where it has users of its own, in a directory of its own.
    const all = ALL.filter((volume) => !('ownUsers' in volume));
    expect(new Set(all.map(volumeName)).size).toBe(all.length);
    expect(new Set(all.map((volume) => volumePath(volume))).size).toBe(all.length);
  });

  it('are where the node daemon makes them', () => {
    expect(volumePath({ gives: 'media', class: 'usb', readOnly: true }, '/x')).toBe('/x/media-ro/usb');
    expect(volumePath({ gives: 'lxcfs', view: 'cpu' })).toBe('/run/hotmount/lxcfs/sys/devices/system/cpu');
    expect(volumePath({ gives: 'dev' }, '/x')).toBe('/dev');
    expect(ALL.filter(isFileVolume).length).toBe(LXCFS_VIEW_NAMES.length - 1);
  });

  it.each<[Record<string, unknown>]>([
    [{}],
    [{ media: '../../etc' }],
    [{ media: 'usb', access: 'rw' }],
    [{ media: 'usb', users: 'pod' }],
    [{ devices: 'usb', users: 'own' }],
    [{ users: 'own' }],
    [{ media: 'usb', devices: 'usb' }],
    [{ devices: 'usb', access: 'ro' }],
    [{ devices: 'true' }],
    [{ lxcfs: 'true' }],
    [{ lxcfs: 'toString' }],
    [{ dev: '/host-dev' }],
    [{ udev: 'false' }],
    [{ access: 'ro' }],
    [{ constructor: 'usb' }],
    [{ media: ['usb'] }],
    [{ media: 'usb', 'csi.storage.k8s.io/pod.name': 'a' }],
  ])('are nothing else: %j', (attributes) => {
    expect(readVolumeAttributes(attributes)).toEqual({ problem: expect.stringContaining('expected { media: CLASS }') });
  });

  it('are never a path outside, whatever the attributes', () => {
    const attributes = fc.dictionary(
      fc.oneof(fc.constantFrom('media', 'devices', 'lxcfs', 'dev', 'udev', 'live', 'access', 'users'), fc.string()),
      fc.oneof(fc.constantFrom('usb', 'ro', 'own', 'true', 'meminfo', '..', '/'), fc.string()),
      { maxKeys: 3 },
    );
    fc.assert(
      fc.property(attributes, (given) => {
        const read = readVolumeAttributes(given);
        if ('problem' in read) return;
        expect(volumePath(read.volume, '/r')).toMatch(
          /^(\/r\/(media|media-ro|devices|lxcfs)\/[^.]+|\/dev|\/run\/udev|\/r\/live)$/,
        );
        expect(volumeAttributes(read.volume)).toEqual(given);
      }),
    );
  });
});
