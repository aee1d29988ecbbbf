import { devicesPath } from '../../contract/paths.ts';
import type { FeatureModule } from './feature.ts';
import { HOST_PATH, hostPath, withMount } from './mounts.ts';

/** The class directory; the daemon makes device nodes in it, which a read-only mount lets open for writing all the same. */
export const devices: FeatureModule<'devices'> = {
  apply: (pod, container, { class: name, path }, { annotation }) => {
    const volume = `hotmount-devices-${name}`;
    return withMount(
      pod,
      container,
      hostPath(volume, devicesPath(name), 'Directory'),
      { name: volume, mountPath: path, readOnly: true },
      annotation,
    );
  },
  describe: ({ class: name, path }) => `${name}:${path}`,
  exposes: () => [HOST_PATH],
};
