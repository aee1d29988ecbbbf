import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMountinfo } from '../../../../src/linux/mountinfo.ts';
import { type Bind, bindsIn } from '../../../../src/node/live/actual.ts';
import { desire } from '../../../../src/node/live/desired.ts';
import { plan } from '../../../../src/node/live/plan.ts';
import { parsePolicy } from '../../../../src/policy/index.ts';

const POLICY = parsePolicy(`apiVersion: hotmount.io/v1alpha1
kind: Policy
mediaClasses: [{ name: usb, match: [{ bus: [usb] }] }, { name: card, match: [{ bus: [mmc] }] }]
deviceClasses: [{ name: serial, match: [{ subsystem: [tty] }] }]
rules:
  - { name: edge, namespaces: ["edge-*"], allow: { live: true, media: [usb], devices: [serial] } }
  - { name: labelled, namespaces: ["lab-*"], namespaceLabels: { live: "yes" }, allow: { live: true, media: [card] } }
  - { name: fixed, namespaces: [fixed], allow: { media: [usb] } }
`);
const desired = (annotations: Record<string, string>, namespace = 'edge-1') => {
  const { classes, refusals } = desire({ annotations }, { namespace, serviceAccount: 'default' }, POLICY);
  return { classes: Object.fromEntries(classes), refusals: refusals.map(({ reason }) => reason) };
};

describe('what a live pod is to have', () => {
  it('is what its annotations name and the policy gives', () => {
    expect(desired({ 'hotmount.io/media': 'usb', 'hotmount.io/devices': 'serial:/dev/x' })).toEqual({
      classes: { 'media/usb': 'media/usb', 'devices/serial': 'devices/serial' },
      refusals: [],
    });
  });

  it('is read-only where it is asked for so, unless it is asked for otherwise besides', () => {
    expect(desired({ 'hotmount.io/media': 'usb:ro' }).classes).toEqual({ 'media/usb': 'media-ro/usb' });
    expect(desired({ 'hotmount.io/media': 'usb:/x:ro' }).classes).toEqual({ 'media/usb': 'media-ro/usb' });
    expect(desired({ 'hotmount.io/media': 'usb:/x:ro,usb' }).classes).toEqual({ 'media/usb': 'media/usb' });
    expect(desired({ 'hotmount.io/media': 'usb,usb:/x:ro' }).classes).toEqual({ 'media/usb': 'media/usb' });
  });

  it('is nothing of what the policy does not give, and each has its reason', () => {
    expect(desired({ 'hotmount.io/media': 'usb,card,gone' })).toEqual({
      classes: { 'media/usb': 'media/usb' },
      refusals: ['media_not_allowed', 'class_unknown'],
    });
    expect(desired({ 'hotmount.io/media': 'usb' }, 'fixed')).toEqual({ classes: {}, refusals: ['live_not_allowed'] });
    expect(desired({ 'hotmount.io/media': '../../etc' }).refusals).toEqual(['annotation_invalid']);
    expect(desired({ 'hotmount.io/media.app': 'usb' }).refusals).toEqual(['live_for_one_container']);
  });

  it('has not more reasons than a file has room for', () => {
    const overrides = Array.from({ length: 5_000 }, (_, i) => [`hotmount.io/media.c${i}`, 'usb']);
    expect(desired(Object.fromEntries(overrides)).refusals.length).toBeLessThanOrEqual(50);
    // As much as an API server takes.
    const { refusals } = desire(
      { annotations: { 'hotmount.io/media': 'x'.repeat(256 << 10), ...Object.fromEntries(overrides) } },
      { namespace: 'edge-1', serviceAccount: '' },
      POLICY,
    );
    expect(JSON.stringify(refusals).length).toBeLessThan(32 << 10);
  });

  it('is not what only the labels of its namespace allow, which a node does not know', () => {
    expect(desired({ 'hotmount.io/media': 'card' }, 'lab-1')).toEqual({
      classes: {},
      refusals: ['live_rule_by_labels'],
    });
  });

  it('comes from the workload, too, and the pod’s own counts', () => {
    const carried = { 'hotmount.io/from-workload': '{"hotmount.io/media":"usb","hotmount.io/devices":"serial"}' };
    expect(Object.keys(desired({ ...carried, 'hotmount.io/devices': 'false' }).classes)).toEqual(['media/usb']);
  });

  it('is nothing with inject: "false", without annotations, or where they cannot be read', () => {
    expect(desired({ 'hotmount.io/media': 'usb', 'hotmount.io/inject': 'false' })).toEqual({
      classes: {},
      refusals: [],
    });
    const account = { namespace: 'edge-1', serviceAccount: '' };
    expect(desire(undefined, account, POLICY).refusals.map(({ reason }) => reason)).toEqual([
      'live_annotations_awaited',
    ]);
    expect(desire({ problem: 'is a pipe' }, account, POLICY).refusals.map(({ reason }) => reason)).toEqual([
      'live_annotations_unreadable',
    ]);
  });
});

describe('what is mounted in live directories', () => {
  it('is found in the mount table, with the disks below', () => {
    const table = `36 1 0:30 / /run/hotmount ro shared:5 - tmpfs hotmount rw
40 36 0:30 /media/usb /run/hotmount/live/a-1/media/usb ro shared:9 master:5 - tmpfs hotmount rw
41 40 8:1 / /run/hotmount/live/a-1/media/usb/STICK rw shared:10 master:6 - ext4 /dev/sda1 rw
42 36 8:1 / /run/hotmount/media/usb/STICK rw shared:6 - ext4 /dev/sda1 rw
43 36 0:30 /devices/x /run/hotmount/live/a-2/devices/.x ro shared:11 master:5 - tmpfs hotmount rw
44 36 0:31 / /run/hotmount/live/a-2/media/foreign rw - tmpfs tmpfs rw
`;
    const binds = bindsIn(parseMountinfo(table), '/run/hotmount', '0:30');
    const short = [...binds].map(([pod, of]) => [
      pod,
      of.map(({ place, source, mounts }) => [place, source, mounts.length]),
    ]);
    expect(short).toEqual([
      ['a-1', [['media/usb', 'media/usb', 2]]],
      ['a-2', [['devices/.x', 'devices/x', 1]]],
    ]);
  });
});

const bind = (place: string, source: string): Bind => ({ place, source, mounts: [] });

describe('the plan', () => {
  it('takes away what is wrong before it gives what is missing', () => {
    const classes = new Map([
      ['media/usb', 'media-ro/usb'],
      ['devices/serial', 'devices/serial'],
    ]);
    const binds = [
      bind('media/usb', 'media/usb'),
      bind('devices/.serial', 'devices/serial'),
      bind('media/old', 'media/old'),
    ];
    const { taken, strays, given } = plan({ classes }, binds, [
      'media/usb',
      'devices/.serial',
      'media/old',
      'media/.left',
    ]);
    expect(taken).toEqual(binds);
    expect(strays).toEqual(['media/.left']);
    expect(given).toEqual(classes);
  });

  it('has nothing to do once it has been carried out, wherever it began', () => {
    const place = fc.constantFrom('media/usb', 'media/.usb', 'media/card', 'devices/serial', 'devices/.serial');
    const source = fc.constantFrom('media/usb', 'media-ro/usb', 'media/card', 'devices/serial', 'media/usb//deleted');
    const classes = fc
      .uniqueArray(fc.constantFrom('media/usb', 'media/card', 'devices/serial'))
      .map((places) => new Map(places.map((one) => [one, one])));
    fc.assert(
      fc.property(classes, fc.array(fc.tuple(place, source)), fc.array(place), (wanted, mounted, left) => {
        const binds = mounted.map(([at, of]) => bind(at, of));
        const { taken, given } = plan({ classes: wanted }, binds, left);
        const after = [...binds.filter((one) => !taken.includes(one)), ...[...given].map(([at, of]) => bind(at, of))];
        const places = after.map((one) => one.place);
        expect(plan({ classes: wanted }, after, places)).toEqual({ taken: [], strays: [], given: new Map() });
        expect(new Map(after.map((one) => [one.place, one.source]))).toEqual(wanted);
      }),
    );
  });
});
