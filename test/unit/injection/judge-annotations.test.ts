import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { judgeAnnotations } from '../../../src/injection/index.ts';
import { parsePolicy } from '../../../src/policy/index.ts';

const POLICY = parsePolicy(`apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }, { name: card, match: [{ bus: [mmc] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty] }] }]
rules:
  - { name: edge, namespaces: ["edge-*"], allow: { live: true, lxcfs: true, media: [usb], devices: [serial] } }
  - { name: labelled, namespaces: ["*"], namespaceLabels: { cards: "yes" }, allow: { media: [card] } }
`);
const LIVE = { name: 'any', csi: { driver: 'hotmount.io', readOnly: true, volumeAttributes: { live: 'true' } } };
const podOf = (annotations: JsonObject | undefined, volumes: JsonObject[]): JsonObject => ({
  metadata: { name: 'web', ...(annotations && { annotations }) },
  spec: { volumes, containers: [{ name: 'app' }] },
});
const judge = (before: JsonObject | undefined, after: JsonObject | undefined, volumes: JsonObject[] = [LIVE]) =>
  judgeAnnotations(
    podOf(after, volumes),
    podOf(before, volumes),
    { namespace: 'edge-1', namespaceLabels: {} },
    POLICY,
  ).map(({ reason, message }) => `${reason}: ${message}`);
const codes = (...args: Parameters<typeof judge>) => judge(...args).map((text) => text.split(':')[0]);
const media = (value: string) => ({ 'hotmount.io/media': value });

describe('a change of the annotations of a running pod', () => {
  it('is nothing to speak of where a live pod is given what the policy allows, or gives it back', () => {
    expect(judge(undefined, media('usb'))).toEqual([]);
    expect(judge(media('usb'), { 'hotmount.io/devices': 'serial' })).toEqual([]);
    expect(judge(media('usb'), undefined)).toEqual([]);
    expect(judge(media('usb'), { ...media('usb'), 'hotmount.io/inject': 'false' })).toEqual([]);
  });

  it('is refused where the policy does not allow it, in the words of a denied pod', () => {
    expect(judge(undefined, media('card'))).toEqual([
      'media_not_allowed: hotmount.io/media asks for media class "card", which no policy rule allows in namespace edge-1 for service account default; rule "labelled" would, for namespaces labelled cards=yes',
    ]);
    expect(codes(undefined, media('usbb'))).toEqual(['class_unknown']);
    expect(codes(undefined, media('usb:'))).toEqual(['annotation_invalid']);
    expect(codes(undefined, { 'hotmount.io/mdia': 'usb' })).toContain('annotation_unknown');
    expect(codes(undefined, media('card'), [])).toEqual(['media_not_allowed', 'pod_not_live']);
  });

  it('is refused also where it was written while inject was "false"', () => {
    const asleep = { ...media('card'), 'hotmount.io/inject': 'false' };
    expect(codes(asleep, { ...asleep, 'hotmount.io/inject': 'true' })).toEqual(['media_not_allowed']);
    expect(codes(asleep, media('card'))).toEqual(['media_not_allowed']);
    expect(codes(asleep, { ...asleep, note: 'x' })).toEqual([]);
  });

  it('says where a rule allows it by labels, which the node does not know', () => {
    const findings = judgeAnnotations(
      podOf(media('card'), [LIVE]),
      podOf(undefined, [LIVE]),
      { namespace: 'edge-1', namespaceLabels: { cards: 'yes' } },
      POLICY,
    );
    expect(findings.map(({ reason }) => reason)).toEqual(['live_rule_by_labels']);
  });

  it('says where it does nothing, as the pod is not live', () => {
    expect(codes(undefined, media('usb'), [])).toEqual(['pod_not_live']);
    expect(codes(media('usb'), undefined, [])).toEqual(['pod_not_live']);
    const other = { name: 'x', csi: { driver: 'hotmount.io', volumeAttributes: { media: 'usb' } } };
    expect(codes(undefined, media('usb'), [other, { name: 'y', emptyDir: {} }])).toEqual(['pod_not_live']);
  });

  it.each(['lxcfs', 'live', 'lxcfs.app'])('says of %s that running pods cannot be given it', (feature) => {
    expect(codes(undefined, { [`hotmount.io/${feature}`]: 'true' })).toEqual(['live_no_effect']);
    expect(codes({ [`hotmount.io/${feature}`]: 'true' }, undefined)).toEqual(['live_no_effect']);
  });

  it('is refused for privileges as for a new pod, too', () => {
    expect(codes(undefined, { 'hotmount.io/privileged': 'true' })).toEqual([
      'privileged_not_allowed',
      'live_no_effect',
    ]);
    expect(codes(undefined, { 'hotmount.io/containers': 'app' })).toEqual(['live_no_effect']);
  });

  it('says what a running pod cannot be given as it is written', () => {
    expect(codes(undefined, { 'hotmount.io/media.app': 'usb' })).toEqual(['live_for_one_container']);
    expect(judge(undefined, media('usb:/data'))).toEqual([
      'live_path: hotmount.io/media: the path "/data" is ignored while the pod runs; the class is at media/usb in its live directory',
    ]);
  });

  it('is about what has changed alone', () => {
    const wrong = { ...media('card'), 'hotmount.io/nonsense': '' };
    expect(judge(wrong, { ...wrong, 'hotmount.io/devices': 'serial', 'example.com/a': 'b' })).toEqual([]);
    expect(codes(wrong, media('card'))).toEqual(['live_no_effect']);
    expect(judge(media('usb'), { ...media('usb'), 'hotmount.io/status': '{}' })).toEqual([]);
  });

  it('counts what was carried from the workload, where the pod says nothing itself', () => {
    const carried = (value: string) => ({ 'hotmount.io/from-workload': JSON.stringify(media(value)) });
    expect(judge(carried('usb'), { ...carried('usb'), 'example.com/a': 'b' })).toEqual([]);
    expect(codes(carried('usb'), carried('card'))).toEqual(['media_not_allowed']);
    expect(judge({ ...media('usb'), ...carried('usb') }, { ...media('usb'), ...carried('card') })).toEqual([]);
    expect(codes(undefined, { 'hotmount.io/from-workload': '[]' })).toEqual(['from_workload_invalid']);
  });
});
