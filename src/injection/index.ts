export type { Entry } from './grant.ts';
export { type Context, type InjectResult, inject, type Summary } from './inject.ts';
export { judgeAnnotations } from './judge-annotations.ts';
export { judgeVolumes } from './judge-volumes.ts';
export { misplacedAnnotations } from './misplaced.ts';
export { isPodSecurityEnforced } from './pod-security.ts';
export { ObjectError } from './shape.ts';
export {
  injectManifest,
  type ManifestResult,
  mutateWorkload,
  templatePath,
  WORKLOAD_KINDS,
  type WorkloadResult,
} from './workload.ts';
