import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  readPublishRequest,
  readUnpublishRequest,
  writeNodeInfo,
  writePluginInfo,
  writeProbe,
} from '../../../src/node/csi/messages.ts';
import { parseTarget } from '../../../src/node/csi/target.ts';
import { readRegistrationStatus, writeRegistration } from '../../../src/node/grpc/registration.ts';
import { readEmpty } from '../../../src/node/grpc/wire.ts';
import { publishRequest } from '../../system/support/fake-kubelet.ts';

const readers = [readPublishRequest, readUnpublishRequest, readRegistrationStatus, readEmpty];

describe('the messages of CSI', () => {
  it('are read as the kubelet writes them, whatever the attributes', () => {
    const attributes = fc.dictionary(fc.string(), fc.string());
    fc.assert(
      fc.property(fc.string(), attributes, fc.boolean(), (targetPath, volumeContext, readOnly) => {
        const read = readPublishRequest(publishRequest(targetPath, volumeContext, readOnly));
        expect({ ...read, volumeContext: { ...read.volumeContext } }).toEqual({
          volumeId: 'csi-1',
          targetPath,
          readOnly,
          volumeContext: { ...volumeContext },
        });
      }),
    );
  });

  it('are an error, or read, and nothing else, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...readers), (bytes, read) => {
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });

  it('are an error where they are cut off inside a field', () => {
    const whole = publishRequest('/target', {});
    expect(() => readPublishRequest(whole.slice(0, 4))).toThrow();
    expect(() => readPublishRequest(whole.slice(0, 12))).toThrow();
  });

  it('skip fields that are newer than this program', () => {
    const newer = new BinaryWriter().tag(99, WireType.LengthDelimited).string('?').tag(2, WireType.LengthDelimited);
    expect(readUnpublishRequest(newer.string('/target').finish())).toEqual({ volumeId: '', targetPath: '/target' });
  });

  it('are written byte for byte as protobuf has them', () => {
    expect(writePluginInfo({ name: 'a', version: 'b' }).toString('hex')).toBe('0a0161120162');
    expect(writeProbe(true).toString('hex')).toBe('0a020801');
    expect(writeNodeInfo({ nodeId: 'n' }).toString('hex')).toBe('0a016e');
    const registration = { type: 'CSIPlugin', name: 'a', endpoint: 'b', supportedVersions: ['1', '2'] } as const;
    expect(writeRegistration(registration).toString('latin1')).toBe('\n\tCSIPlugin\x12\x01a\x1a\x01b"\x011"\x012');
  });
});

describe('target paths', () => {
  it('are inside the directory of one pod, whatever is asked', () => {
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'pods', 'volumes', 'kubernetes.io~csi', 'mount', '1f', 'data', 'a\0', '/'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const target = parseTarget('/kubelet', `/kubelet/pods/${parts.join('/')}`);
        if (!target) return;
        expect(parts.join('/')).toBe(`${target.podUid}/volumes/kubernetes.io~csi/${target.volume}/mount`);
        expect(`${target.podUid}${target.volume}`).toMatch(/^[-a-z0-9]+$/);
      }),
    );
  });

  it('have the UIDs of pods, static ones too', () => {
    for (const uid of ['9d3f4c1e-0a52-4c0e-9b1a-0d5c8f0e6a11', '0123456789abcdef0123456789abcdef']) {
      const path = `/kubelet/pods/${uid}/volumes/kubernetes.io~csi/data/mount`;
      expect(parseTarget('/kubelet', path)).toEqual({ podUid: uid, volume: 'data' });
    }
  });
});
