import { refuseWithoutEscalation } from './capabilities.ts';
import { conflict, type FeatureModule } from './feature.ts';

export const privileged: FeatureModule<'privileged'> = {
  apply: (_draft, container, _want, { annotation }) => {
    if (container.security['privileged'] === false) {
      throw conflict('privileged_false', { container: container.container.name, annotation });
    }
    refuseWithoutEscalation(container, 'privileged', annotation);
    container.setPrivileged();
  },
  describe: () => 'true',
  exposes: () => [{ level: 'baseline', field: 'spec.containers[*].securityContext.privileged' }],
};
