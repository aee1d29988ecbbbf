/** Who may ask for what: reading the policy, and asking it. */
export { POLICY_KEY } from './config-map.ts';
export { defaultPolicy, defaultPolicyText } from './default.ts';
export { deviceDirectory, inDirectory } from './device-directory.ts';
export { PolicyError } from './error.ts';
export {
  allowedBy,
  allows,
  hasDefaults,
  type MatchingRules,
  matchingRules,
  NamespaceLabelsUnknownError,
  type Subject,
} from './evaluate.ts';
export { escapeGlob, literalOf, matchesGlobs, matchesGlobsOfAny } from './globs.ts';
export { whoMay } from './hints.ts';
export { lint, rulesOnNamespaceLabels } from './lint.ts';
export { FILE_SYSTEM_NAMES, hasOwners, isWithoutReplay, mountOptions } from './mount-options.ts';
export { parsePolicy } from './parse.ts';
export type {
  Allow,
  DeviceClass,
  DeviceMatch,
  HardwareMatch,
  MediaClass,
  MediaMatch,
  Owner,
  Policy,
  Rule,
} from './policy.ts';
export { explainPolicyError } from './report.ts';
export { type PolicyInput, policySchema } from './schema.ts';
export { openPolicyFile, type PolicyFile, type PolicyListener, type PolicySource, readPolicyText } from './source.ts';
export { type VolumeQuestion, volumeRefusal, volumeRefusalByAccount } from './volumes.ts';
export { type Account, judgeLiveWant, judgeWant, rulesByAccount, unknownClass, type WantVerdict } from './wants.ts';
export { inPlainWords } from './yaml-problems.ts';
