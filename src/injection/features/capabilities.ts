import { normalizeCapability } from '../../contract/capabilities.ts';
import type { JsonObject } from '../../contract/json.ts';
import { type Container, containerIn } from '../containers.ts';
import { append } from '../edit.ts';
import { objectIn, stringsIn } from '../shape.ts';
import { conflict, type Exposure, type FeatureModule } from './feature.ts';

export const capabilities: FeatureModule<'capabilities'> = {
  apply: (pod, container, { capability }, { annotation }) => addCapability(pod, container, capability, annotation),
  describe: ({ capability }) => capability,
  exposes: ({ capability }) => capabilityExposure(capability),
};

/** What the Pod Security Standards let be added, from level to level. */
const BASELINE_ADDS = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];
const RESTRICTED_ADDS = ['NET_BIND_SERVICE'];

export function capabilityExposure(capability: string): readonly Exposure[] {
  const field = `spec.containers[*].securityContext.capabilities.add: ${capability}`;
  if (!BASELINE_ADDS.includes(capability)) return [{ level: 'baseline', field }];
  return RESTRICTED_ADDS.includes(capability) ? [] : [{ level: 'restricted', field }];
}

/** Adds a capability where neither it nor ALL is there yet, in either spelling. Throws Conflict. */
export function addCapability(
  pod: JsonObject,
  container: Container,
  capability: string,
  annotation: string,
): JsonObject {
  const field = `${container.field}.securityContext`;
  const security = objectIn(containerIn(pod, container), 'securityContext', container.field) ?? {};
  const existing = objectIn(security, 'capabilities', field) ?? {};
  const list = (key: 'add' | 'drop') => stringsIn(existing, key, `${field}.capabilities`).map(normalizeCapability);

  // Runtimes apply `drop: ALL` before `add`, and single names after it.
  if (list('drop').includes(capability) && capability !== 'ALL') {
    throw conflict('capability_dropped', { container: container.name, what: capability, annotation });
  }
  if (capability === 'SYS_ADMIN') refuseWithoutEscalation(security, container, 'the capability SYS_ADMIN', annotation);
  const added = list('add');
  if (added.includes(capability) || added.includes('ALL')) return pod;
  return append(pod, [...container.path, 'securityContext', 'capabilities', 'add'], capability);
}

/** The API server's validation of a security context (pkg/apis/core/validation, ValidateSecurityContext). */
export function refuseWithoutEscalation(
  security: JsonObject,
  container: Container,
  what: string,
  annotation: string,
): void {
  if (security['allowPrivilegeEscalation'] !== false) return;
  throw conflict('privilege_escalation_forbidden', { container: container.name, what, annotation });
}
