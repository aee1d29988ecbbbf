import type { V1CSIDriver, V1CSINode, V1Namespace, V1Pod } from '@kubernetes/client-node';
import type { NodeReport } from '../daemons.ts';

export interface CheckFinding {
  /** `unknown`: its user may not see what would tell. */
  readonly severity: 'ok' | 'warning' | 'error' | 'unknown';
  readonly check: string;
  readonly message: string;
  /** What to do; left out where nothing is to be done. */
  readonly remedy?: string;
}

/** What may not be seen, or is not there, is undefined. */
export interface Facts {
  readonly systemNamespace: string;
  /** Whose pods alone are judged, where `-n` was given. */
  readonly namespace?: string | undefined;
  readonly webhookPods: readonly V1Pod[];
  /** By kind. Each is the `clientConfig.caBundle` of all its webhooks. */
  readonly caBundles: ReadonlyMap<string, readonly (string | undefined)[]> | undefined;
  /** What came of creating a pod that asks, as a dry run. */
  readonly dryRun: { readonly admitted: boolean } | { readonly refused: string; readonly code: number | undefined };
  readonly driver: V1CSIDriver | null | undefined;
  readonly csiNodes: readonly V1CSINode[] | undefined;
  readonly reports: readonly NodeReport[];
  readonly policy: { readonly configMap: string; readonly digest: string } | undefined;
  readonly namespaces: readonly V1Namespace[] | undefined;
  readonly now: Date;
}

/** The one finding of a check that has found nothing. */
export const ok = (check: string, message: string): CheckFinding[] => [{ severity: 'ok', check, message }];
