import picocolors from 'picocolors';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { formatClusterStatus, type Look } from '../../../src/commands/kubectl/cluster-status.ts';
import { busy, CLUSTER, NOW } from './cluster.ts';

const colors = picocolors.createColors(false);
const show = (look: Partial<Look> = {}) =>
  formatClusterStatus(CLUSTER, { now: NOW, width: undefined, colors, wide: false, namespace: undefined, ...look });

describe('kubectl hotmount status', () => {
  it.each([80, 160])('shows the cluster on a terminal of %i columns', async (width) => {
    const shown = show({ width });
    await expect(shown).toMatchFileSnapshot(`./status-${width}.txt`);
    for (const line of shown.split('\n')) expect(stringWidth(line), line).toBeLessThanOrEqual(width);
  });

  it('has a line for each thing where its output is read by a program', () => {
    const lines = show().split('\n');
    expect(lines.filter((line) => line.includes('ttyUSB0') && line.includes('edge/modem'))).toHaveLength(2);
    expect(lines.find((line) => line.includes('sdb1'))).toMatch(
      /edge\/copier-6f7c9d5b4-9hl2k, edge\/copier-6f7c9d5b4-x2x7q, shop\/reader$/,
    );
  });

  it('shows paths, kernels and pods of daemons with -o wide', () => {
    const wide = show({ wide: true });
    for (const text of ['/run/hotmount/media/usb/照片', '6.12.9', 'hotmount-system/hotmount-node-4vzlp', 'v2']) {
      expect(wide).toContain(text);
    }
  });

  it('shows what pods of one namespace have', () => {
    const shown = show({ namespace: 'shop' });
    expect(shown).toMatch(/sdb1 .* shop\/reader\n/);
    expect(shown).not.toContain('edge/copier');
    expect(shown).not.toMatch(/ttyUSB0 +serial/);
  });

  it('shows of one namespace alone which pods have no access, and are not given what they ask for', () => {
    const notGiven = [{ reason: 'class_not_allowed', message: 'no rule allows it' }];
    const pods = ['shop/reader', 'shop-2/reader'].map((pod) => ({
      podUid: pod,
      pod,
      media: [],
      devices: [],
      notGiven,
    }));
    const nodes = [{ node: 'n', status: { ...busy(), live: { pods, taken: [] } } }];
    const of = (namespace: string | undefined) =>
      formatClusterStatus({ ...CLUSTER, nodes }, { now: NOW, width: undefined, colors, wide: false, namespace });
    const refused = busy().devices.flatMap(({ containers }) => containers.filter(({ state }) => state === 'refused'));
    const theirs = refused.map(({ pod }) => pod?.split('/')[0])[0] as string;
    expect(of(undefined).match(/no rule allows it/g)).toHaveLength(2);
    expect(of('shop').match(/no rule allows it/g)).toHaveLength(1);
    expect(of(theirs)).toContain('\nNO ACCESS\n');
    expect(of('nobodys')).not.toMatch(/NO ACCESS|NOT GIVEN/);
  });

  it('shows what is to be known of disks, live pods and the device plugin', () => {
    const [mount] = busy().mounted;
    const status = busy();
    const nodes = [
      {
        node: 'n',
        status: {
          ...status,
          mounted: [
            { ...(mount as NonNullable<typeof mount>), notes: [{ reason: 'dirty' as const, message: 'check it' }] },
          ],
          live: {
            pods: [
              {
                podUid: 'a',
                pod: 'shop/reader',
                media: [],
                devices: [],
                notGiven: [{ reason: 'class_not_allowed', message: 'no rule allows it' }],
              },
            ],
            taken: [],
            problem: 'annotations are seen late',
          },
          devicePlugin: {
            kubeletDir: '/var/lib/kubelet',
            resources: [
              { name: 'hotmount.io/serial', count: 1, registered: false, problem: 'refused' },
              { name: 'hotmount.io/cam', count: 1, registered: false },
              { name: 'hotmount.io/usb', count: 1, registered: true },
            ],
            problem: 'there is no directory',
          },
        },
      },
    ];
    const shown = formatClusterStatus(
      { ...CLUSTER, nodes },
      { now: NOW, width: undefined, colors, wide: false, namespace: undefined },
    );
    expect(shown).toMatch(/\nTO BE KNOWN\nNODE .*\nn +sdb1 +dirty +check it\n/);
    expect(shown).toMatch(/\nNOT GIVEN TO LIVE PODS\nNODE .*\nn +shop\/reader +class_not_allowed +no rule allows it\n/);
    const problems = [
      'live pods: annotations are seen late',
      'device plugin: there is no directory',
      'device plugin: hotmount.io/serial: refused',
      'device plugin: hotmount.io/cam: the kubelet has not asked for its count',
    ];
    for (const problem of problems) expect(shown).toMatch(new RegExp(`\\nn +${problem}\\n`));
    expect(shown).not.toContain('hotmount.io/usb');
  });

  it('shows nothing that a terminal would obey', () => {
    const nodes = [{ node: 'n', problem: 'evil \u001b[2J\u202e text' }];
    const shown = formatClusterStatus(
      { ...CLUSTER, nodes },
      { now: NOW, width: 80, colors, wide: false, namespace: undefined },
    );
    for (const obeyed of ['\u001b', '\u202e']) expect(shown).not.toContain(obeyed);
  });
});
