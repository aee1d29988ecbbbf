import type { Dashboard, Panel } from '@grafana/schema';

/** The dashboard of Grafana, written to files/dashboard.json by `npm run chart`. Its types are those of Grafana's own schema. */
const WIDTH = 24;
const HEIGHT = 8;

interface Query {
  readonly expr: string;
  readonly legend?: string;
}

interface Plot {
  readonly title: string;
  readonly description?: string;
  /** Of Grafana: `s`, `short`, `percentunit`. */
  readonly unit?: string;
  readonly type?: 'timeseries' | 'stat' | 'table';
  readonly queries: readonly Query[];
}

const p = (quantile: number, histogram: string): string =>
  `histogram_quantile(${quantile}, sum by (le) (rate(${histogram}_bucket[$__rate_interval])))`;

const quantiles = (histogram: string): readonly Query[] => [
  { expr: p(0.5, histogram), legend: 'median' },
  { expr: p(0.99, histogram), legend: 'p99' },
];

/** By the part of hotmount that they are of. */
const SECTIONS: Readonly<Record<string, readonly Plot[]>> = {
  Admission: [
    {
      title: 'Admissions by outcome and reason',
      unit: 'reqps',
      queries: [
        {
          expr: 'sum by (outcome, reason) (rate(hotmount_admission_requests_total[$__rate_interval]))',
          legend: '{{outcome}} {{reason}}',
        },
      ],
    },
    { title: 'Time to decide', unit: 's', queries: quantiles('hotmount_admission_duration_seconds') },
    {
      title: 'Until the certificate ends',
      unit: 's',
      type: 'stat',
      queries: [{ expr: 'min(hotmount_certificate_expiry_timestamp_seconds) - time()' }],
    },
    {
      title: 'Policy changes refused (1 h)',
      type: 'stat',
      queries: [{ expr: 'sum(increase(hotmount_policy_reloads_total{outcome="failure"}[1h]))' }],
    },
  ],
  Media: [
    {
      title: 'Disks mounted, by node and class',
      queries: [{ expr: 'sum by (instance, class) (hotmount_media_mounts)', legend: '{{instance}} {{class}}' }],
    },
    {
      title: 'Disks not mounted, by reason',
      description: 'Failed ones are worth a look; skipped ones are nobody’s, mostly.',
      queries: [{ expr: 'sum by (kind, reason) (hotmount_media_not_mounted)', legend: '{{kind}} {{reason}}' }],
    },
    { title: 'From the uevent to the mounted disk', unit: 's', queries: quantiles('hotmount_hotplug_seconds') },
    {
      title: 'Disks at work',
      description: 'What takes long here is a disk that is slow, or hangs.',
      queries: [{ expr: 'sum by (instance, doing) (hotmount_media_working)', legend: '{{instance}} {{doing}}' }],
    },
  ],
  Devices: [
    {
      title: 'Devices, by node and class',
      queries: [{ expr: 'sum by (instance, class) (hotmount_devices)', legend: '{{instance}} {{class}}' }],
    },
    {
      title: 'Access granted and refused',
      queries: [
        { expr: 'sum by (class) (hotmount_device_grants)', legend: '{{class}} granted' },
        { expr: 'sum by (class, reason) (hotmount_device_grants_refused)', legend: '{{class}} {{reason}}' },
      ],
    },
    { title: 'From the uevent to the usable device', unit: 's', queries: quantiles('hotmount_device_hotplug_seconds') },
    {
      title: 'Volumes asked of the driver',
      unit: 'reqps',
      queries: [
        {
          expr: 'sum by (method, code) (rate(hotmount_csi_calls_total[$__rate_interval]))',
          legend: '{{method}} {{code}}',
        },
      ],
    },
  ],
  lxcfs: [
    {
      title: 'lxcfs that ended (1 h)',
      queries: [{ expr: 'sum by (instance) (increase(hotmount_lxcfs_restarts_total[1h]))', legend: '{{instance}}' }],
    },
    {
      title: 'Until containers were attached to another',
      unit: 's',
      queries: quantiles('hotmount_lxcfs_reattach_seconds'),
    },
    {
      title: 'Views that tell the node’s values',
      queries: [{ expr: 'sum by (instance, view) (hotmount_lxcfs_untrue_view)', legend: '{{instance}} {{view}}' }],
    },
    {
      title: 'Versions',
      type: 'table',
      queries: [{ expr: 'count by (version) (hotmount_build_info)', legend: '{{version}}' }],
    },
  ],
};

const datasource = { type: 'prometheus', uid: '$datasource' };

function panel(
  { title, description, unit = 'short', type = 'timeseries', queries }: Plot,
  id: number,
  x: number,
  y: number,
): Panel {
  return {
    id,
    type,
    title,
    ...(description ? { description } : {}),
    datasource,
    gridPos: { x, y, w: WIDTH / 4, h: HEIGHT },
    fieldConfig: { defaults: { unit }, overrides: [] },
    targets: queries.map(({ expr, legend }, n) => ({
      refId: String.fromCharCode(65 + n),
      expr,
      ...(legend ? { legendFormat: legend } : {}),
    })),
  };
}

/** Rows of four panels, each below its heading. */
export function dashboard(): Dashboard {
  let id = 0;
  const panels = Object.entries(SECTIONS).flatMap(([title, plots], row) => {
    const y = row * (HEIGHT + 1);
    const heading = {
      id: ++id,
      type: 'row' as const,
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: WIDTH, h: 1 },
      panels: [],
    };
    return [heading, ...plots.map((plot, n) => panel(plot, ++id, (n * WIDTH) / 4, y + 1))];
  });
  return {
    title: 'hotmount',
    uid: 'hotmount',
    schemaVersion: 39,
    tags: ['hotmount', 'kubernetes'],
    time: { from: 'now-6h', to: 'now' },
    refresh: '1m',
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Data source' }] },
    panels,
  };
}
