import { describe, expect, it } from 'vitest';
import { parsePodMapping } from '../../../../src/node/media/pod-mapping.ts';

describe("the mapping of a pod's users", () => {
  it('is read as the kubelet writes it', () => {
    const text =
      '{"uidMappings":[{"hostId":65536,"containerId":0,"length":65536}],"gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]}';
    expect(parsePodMapping(text)).toEqual({
      uids: [{ hostId: 65_536, containerId: 0, length: 65_536 }],
      gids: [{ hostId: 131_072, containerId: 0, length: 65_536 }],
    });
  });

  it.each([
    '',
    '{}',
    'null',
    '{"uidMappings":[],"gidMappings":[]}',
    '{"uidMappings":[{"hostId":"0","containerId":0,"length":1}]}',
    '{"uidMappings":[{"hostId":-1,"containerId":0,"length":1}]}',
    '{"uidMappings":[null]}',
  ])('is not taken from anything else: %s', (text) => {
    expect(() => parsePodMapping(text)).toThrow();
  });
});
