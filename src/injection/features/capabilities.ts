import { ALL_CAPABILITIES } from '../../contract/capabilities.ts';
import type { ContainerDraft } from '../container-draft.ts';
import { conflict, type Exposure, type FeatureModule } from './feature.ts';

export const capabilities: FeatureModule<'capabilities'> = {
  apply: (_draft, container, { capability }, { annotation }) => addCapability(container, capability, annotation),
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

/** By which Pod Security level adding it is forbidden first; empty: by none. Expects a normalized name. */
export function capabilityExposure(capability: string): readonly Exposure[] {
  const field = `spec.containers[*].securityContext.capabilities.add: ${capability}`;
  if (!BASELINE_ADDS.includes(capability)) return [{ level: 'baseline', field }];
  return RESTRICTED_ADDS.includes(capability) ? [] : [{ level: 'restricted', field }];
}

/** Adds a capability where neither it nor ALL is there yet, in either spelling. Throws Conflict. */
export function addCapability(container: ContainerDraft, capability: string, annotation: string): void {
  // The order of runtimes (containerd's WithCapabilities): add ALL, drop ALL, add names, drop names.
  const dropped = container.capabilities('drop');
  if (dropped.has(capability)) {
    throw conflict('capability_dropped', { container: container.container.name, what: capability, annotation });
  }
  if (capability === 'SYS_ADMIN') refuseWithoutEscalation(container, 'the capability SYS_ADMIN', annotation);
  const added = container.capabilities('add');
  const hasAll = added.has(ALL_CAPABILITIES) && !dropped.has(ALL_CAPABILITIES);
  if (!added.has(capability) && !hasAll) container.addCapability(capability);
}

/** The API server's validation of a security context (pkg/apis/core/validation, ValidateSecurityContext). */
export function refuseWithoutEscalation(container: ContainerDraft, what: string, annotation: string): void {
  if (container.security['allowPrivilegeEscalation'] !== false) return;
  throw conflict('privilege_escalation_forbidden', { container: container.container.name, what, annotation });
}
