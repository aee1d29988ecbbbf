import type { VolumeKind } from '../../../src/contract/volumes.ts';
import { LXCFS_VIEWS, type LxcfsView } from '../../../src/contract/wants.ts';
import type { Entry } from '../../../src/injection/index.ts';

/** What an entry of the summary says a container has, spelled out a second time from the annotations' grammar and the contract's paths. */
export interface Additions {
  readonly mounts: readonly { readonly name: string; readonly mountPath: string; readonly [field: string]: unknown }[];
  readonly mayHave: Additions['mounts'];
  /** By the kind that is added; a pod may have the other from before. */
  readonly volumes: readonly Readonly<Record<VolumeKind, Volume>>[];
  readonly capabilities: readonly string[];
  readonly privileged: boolean;
  readonly hostNetwork: boolean;
  /** Modes by volume. */
  readonly propagation: ReadonlyMap<string, string>;
}

interface Volume {
  readonly name: string;
  readonly [source: string]: unknown;
}

/** Expects all entries of one container. */
export function additionsOf(entries: readonly Entry[]): Additions {
  const of = (feature: Entry['feature']) =>
    entries.filter((entry) => entry.feature === feature).map(({ item }) => item);
  const mounted: Mounted[] = [
    ...of('lxcfs').map((view): Mounted => {
      const path = LXCFS_VIEWS[view as LxcfsView];
      return mountOf(
        `hotmount-lxcfs-${view}`,
        `/run/hotmount/lxcfs${path}`,
        path,
        {},
        { lxcfs: view },
        view === 'cpu' ? 'Directory' : 'File',
      );
    }),
    ...of('dev').map((path) => devAt(path)),
    ...of('media').map((item): Mounted => {
      const [name, path = '', ro] = item.split(':');
      const [volume, directory] = ro === 'ro' ? ['hotmount-ro-media', 'media-ro'] : ['hotmount-media', 'media'];
      return mountOf(
        `${volume}-${name}`,
        `/run/hotmount/${directory}/${name}`,
        path,
        { mountPropagation: 'HostToContainer' },
        ro === 'ro' ? { media: name, access: 'ro' } : { media: name },
      );
    }),
    ...of('devices').map((item): Mounted => {
      const [name, path = ''] = item.split(':');
      return mountOf(`hotmount-devices-${name}`, `/run/hotmount/devices/${name}`, path, {}, { devices: name });
    }),
    ...of('live').flatMap((path): Mounted[] => {
      const name = 'hotmount-live-annotations';
      const items = [{ path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } }];
      const volume = { name, downwardAPI: { items } };
      const mount = { name, mountPath: `${path}/.annotations`, readOnly: true };
      const propagation = { mountPropagation: 'HostToContainer' };
      return [
        { volume: { csi: volume, hostPath: volume }, mount },
        mountOf('hotmount-live', '/nowhere', path, propagation, { live: 'true' }),
      ];
    }),
    ...of('uevents').flatMap((access): Mounted[] => {
      if (access === 'udev') return [mountOf('hotmount-udev', '/run/udev', '/run/udev', {}, { udev: 'true' })];
      if (access !== 'udevd') return [];
      const volume = { name: 'hotmount-udevd', emptyDir: {} };
      return [
        ...(of('dev').length > 0 ? [] : [devAt('/host-dev')]),
        { volume: { csi: volume, hostPath: volume }, mount: { name: volume.name, mountPath: '/run/udev' } },
      ];
    }),
  ];
  const udevd = of('uevents').includes('udevd') ? ['NET_ADMIN', 'NET_RAW'] : [];
  return {
    mounts: mounted.map(({ mount }) => mount),
    // A udevd that the user asked for does not use the alias of a default, whose path may be taken.
    mayHave: of('uevents').includes('udevd') ? [devAt('/host-dev').mount] : [],
    volumes: mounted.map(({ volume }) => volume),
    capabilities: [...of('capabilities'), ...udevd],
    privileged: of('privileged').length > 0,
    hostNetwork: of('uevents').includes('udev'),
    propagation: new Map(of('propagation').map((item) => item.split('=') as [string, string])),
  };
}

interface Mounted {
  readonly volume: Additions['volumes'][number];
  readonly mount: Additions['mounts'][number];
}

const mountOf = (
  name: string,
  source: string,
  mountPath: string,
  more: object,
  volumeAttributes: object,
  type = 'Directory',
): Mounted => ({
  volume: {
    csi: { name, csi: { driver: 'hotmount.io', readOnly: true, volumeAttributes } },
    hostPath: { name, hostPath: { path: source, type } },
  },
  mount: { name, mountPath, readOnly: true, ...more },
});

const devAt = (path: string): Mounted =>
  mountOf('hotmount-dev', '/dev', path, { mountPropagation: 'None', recursiveReadOnly: 'IfPossible' }, { dev: 'true' });
