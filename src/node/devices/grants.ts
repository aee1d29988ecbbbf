import { createHash } from 'node:crypto';
import { RUN_DIR } from '../../contract/paths.ts';
import { DeviceGrants } from '../../linux/device-cgroup/index.ts';
import type { RunDir } from '../run-dir/run-dir.ts';

/** The grants of the daemon of a run dir. A daemon of another run dir leaves them alone. */
export const openGrants = ({ path }: Pick<RunDir, 'path'>): DeviceGrants =>
  new DeviceGrants(
    path === RUN_DIR ? {} : { owner: `hotmount${createHash('sha256').update(path).digest('hex').slice(0, 7)}` },
  );
