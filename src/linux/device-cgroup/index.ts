export type { GrantOutcome } from './controller.ts';
export { type DeviceCgroup, deviceCgroupOf } from './find.ts';
export { DeviceGrants, type DeviceGrantsOptions, type WantedGrant } from './grants.ts';
export { findHierarchies, type Hierarchies } from './hierarchy.ts';
export { GRANT_REASONS, type GrantReason, mayPass } from './reasons.ts';
export { type DeviceRule, ruleDevice, ruleDeviceOf } from './rule.ts';
