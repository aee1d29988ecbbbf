import { X509Certificate } from 'node:crypto';
import type { V1Pod } from '@kubernetes/client-node';
import { type CheckFinding, type Facts, ok } from './finding.ts';

/** Whether all pods of the webhook are ready. */
export function webhookRuns({ webhookPods, systemNamespace }: Facts): CheckFinding[] {
  const check = 'webhook runs';
  const pods = webhookPods.filter(isToRun);
  const ready = pods.filter(isReady).length;
  const message = `${ready} of ${pods.length} webhook pods are ready`;
  if (ready > 0 && ready === pods.length) return ok(check, message);
  const remedy = `kubectl describe pods, and kubectl logs, -n ${systemNamespace} -l app.kubernetes.io/component=webhook say why`;
  return [{ severity: ready > 0 ? 'warning' : 'error', check, message, remedy }];
}

const isReady = (pod: V1Pod): boolean => pod.status?.containerStatuses?.every(({ ready }) => ready) ?? false;

/** A pod that an update replaces, or that was evicted, stays in the list for a while. */
const isToRun = ({ metadata, status }: V1Pod): boolean =>
  !metadata?.deletionTimestamp && status?.phase !== 'Failed' && status?.phase !== 'Succeeded';

/** What API servers say where they cannot ask a webhook (apiserver pkg/admission/plugin/webhook). */
const UNASKED = /failed calling webhook/;

/** Whether the API server has asked it, by what came of the dry run. */
export function webhookAnswers({ dryRun }: Facts): CheckFinding[] {
  const check = 'webhook answers';
  if ('admitted' in dryRun) {
    if (dryRun.admitted) return ok(check, 'the API server has asked it about a pod, as a dry run');
    const message = 'a pod that asks, created as a dry run, was not shown to it';
    const remedy =
      'is the namespace among webhook.excludedNamespaces? Try -n with another; else helm upgrade puts the webhook configuration back';
    return [{ severity: 'error', check, message, remedy }];
  }
  if (UNASKED.test(dryRun.refused)) {
    const remedy =
      'the end of the message says why: docs/troubleshooting.md, failed calling webhook. Annotated pods wait until it answers';
    return [{ severity: 'error', check, message: dryRun.refused, remedy }];
  }
  // A denial is an answer.
  if (/admission webhook ".*hotmount\.io" denied/.test(dryRun.refused)) return ok(check, 'it has answered, and denied');
  return [{ severity: 'unknown', check, message: `no pod could be created to see, as a dry run: ${dryRun.refused}` }];
}

const SOON = 7 * 86_400_000;

/** Whether the API server can trust it, and for how long. */
export function caIsKnown({ caBundles, now }: Facts): CheckFinding[] {
  const check = 'certificates';
  if (!caBundles) return [{ severity: 'unknown', check, message: 'you may not read the webhook configurations' }];
  return [...caBundles].flatMap(([kind, bundles]): CheckFinding[] => {
    if (bundles.length === 0) {
      return [
        {
          severity: 'error',
          check,
          message: `hotmount has no ${kind}: the API server never asks its webhook`,
          remedy: 'helm upgrade puts it back',
        },
      ];
    }
    if (bundles.some((bundle) => !bundle)) {
      const remedy =
        'the webhook writes it (its log says why not); with certificates of your own, set caBundle: docs/install.md';
      return [{ severity: 'error', check, message: `${kind} has no caBundle`, remedy }];
    }
    const ends = bundles.flatMap((bundle) => endOf(bundle ?? ''));
    if (ends.length < bundles.length) {
      return [
        {
          severity: 'error',
          check,
          message: `the caBundle of ${kind} is no certificate`,
          remedy: 'helm upgrade puts it right',
        },
      ];
    }
    const end = new Date(Math.min(...ends));
    const day = end.toISOString().slice(0, 10);
    if (end.getTime() - now.getTime() > SOON) return ok(check, `the caBundle of ${kind} is valid until ${day}`);
    const remedy = 'the webhook renews its own (its log says why not); renew those of your own';
    return [{ severity: 'error', check, message: `the caBundle of ${kind} ends on ${day}`, remedy }];
  });
}

/** The latest end of those in a bundle: an old CA beside a new one is no fault. */
function endOf(bundle: string): number[] {
  const pems = Buffer.from(bundle, 'base64')
    .toString()
    .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  try {
    return pems ? [Math.max(...pems.map((pem) => Date.parse(new X509Certificate(pem).validTo)))] : [];
  } catch {
    return [];
  }
}
