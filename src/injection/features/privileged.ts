import { containerIn } from '../containers.ts';
import { edit } from '../edit.ts';
import { objectIn } from '../shape.ts';
import { refuseWithoutEscalation } from './capabilities.ts';
import { conflict, type FeatureModule } from './feature.ts';

export const privileged: FeatureModule<'privileged'> = {
  apply: (pod, container, _want, { annotation }) => {
    const security = objectIn(containerIn(pod, container), 'securityContext', container.field) ?? {};
    if (security['privileged'] === false) throw conflict('privileged_false', { container: container.name, annotation });
    refuseWithoutEscalation(security, container, 'privileged', annotation);
    return edit(pod, [...container.path, 'securityContext', 'privileged'], () => true);
  },
  describe: () => 'true',
  exposes: () => [{ level: 'baseline', field: 'spec.containers[*].securityContext.privileged' }],
};
