import { devicesPath } from '../../contract/paths.ts';
import type { FeatureModule } from './feature.ts';
import { addReadOnlyDirectory, HOST_PATH, hostPath } from './mounts.ts';

/** The class directory; the daemon makes device nodes in it, which a read-only mount lets open for writing all the same. */
export const devices: FeatureModule<'devices'> = {
  apply: (draft, container, { class: className, path }, { annotation }) => {
    const name = `hotmount-devices-${className}`;
    const volume = hostPath(name, devicesPath(className), 'Directory');
    addReadOnlyDirectory(draft, container, volume, { name, mountPath: path, readOnly: true }, annotation);
  },
  describe: ({ class: className, path }) => `${className}:${path}`,
  exposes: () => [HOST_PATH],
};
