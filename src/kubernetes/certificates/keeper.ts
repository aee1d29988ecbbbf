import type { V1Secret } from '@kubernetes/client-node';
import type { Certificate, CertificateSource } from '../../admission/index.ts';
import type { ObjectName } from '../../contract/object-name.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Kubernetes } from '../client.ts';
import { problemOf, statusOf } from '../errors.ts';
import { keepWatching } from '../watch.ts';
import { KINDS, type Kind, readConfigurations, trusts, writeBundle } from './ca-bundle.ts';
import { type Material, readMaterial, rotateProblem, stateOf, takeStep, trusted, writeMaterial } from './material.ts';
import { nextStep } from './plan.ts';
import { ReconcileLoop } from './reconcile-loop.ts';

export interface KeeperOptions {
  readonly secret: ObjectName;
  /** What the leaf is for. */
  readonly names: readonly string[];
  /** The name of the webhook configurations that get the caBundle; undefined: none. */
  readonly configuration: string | undefined;
  /** Told whether there are any, whenever that changes, once one has been seen. */
  readonly onConfigurations?: ((areThere: boolean) => void) | undefined;
  /** See plan.ts. */
  readonly overlapMs: number;
  /** Default: Date.now. */
  readonly now?: () => number;
}

/** Times may jump, and watches may miss what is not an event: so reconcile anyway. In milliseconds. */
const RESYNC_MS = 30_000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2_000;
/** In a row: more than replicas that start together have. */
const MANY_CONFLICTS = 5;
/** More than any sequence of steps is long. */
const MAX_STEPS = 8;

/**
 * Certificates of our own in a Secret, shared by all replicas: made, renewed, and announced in the caBundle. The replicas need no leader:
 * each may take any step, and writes only over the version it has read, so that one of them wins and the others take what it wrote.
 *
 * Resolves as soon as there is a leaf to serve with. While the API server is away that takes until it is back; later on, the last
 * certificate serves. A deleted Secret is written anew from memory, so that nobody notices; but not where no webhook configuration is left
 * that would own it. Until there is one, the certificates stay in memory.
 */
export function keepCertificates(
  kubernetes: Kubernetes,
  options: KeeperOptions,
  log: Logger,
): Promise<CertificateSource> {
  const { secret: target, names, overlapMs, now = Date.now } = options;
  const first = Promise.withResolvers<CertificateSource>();
  const where = `Secret ${target.namespace}/${target.name}`;
  const bundle = options.configuration === undefined ? '' : ` and the caBundle of ${options.configuration}`;
  let material: Material | undefined;
  let leaf: Certificate | undefined;
  let listener = (): void => {};
  let failures = 0;
  let told = false;
  let complaint: string | undefined;

  const loop = new ReconcileLoop(async () => {
    try {
      await reconcile();
      failures = 0;
      told = false;
      return Math.min(RESYNC_MS, overlapMs / 4);
    } catch (error) {
      failures++;
      // Mostly another replica was faster; but what can never be written is refused with the same codes.
      const conflict = [409, 422].includes(statusOf(error) ?? 0);
      if (!told && (!conflict || failures >= MANY_CONFLICTS)) {
        told = true;
        log.warn(`the certificates in ${where}${bundle} cannot be looked after, trying again: ${problemOf(error)}`);
      }
      return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS) * (0.5 + Math.random());
    }
  });

  /** Reads everything, and does what is missing. Rejects with what the API server refused. */
  const reconcile = async (): Promise<void> => {
    // The configurations before the Secret: their version then vouches for the Secret being the newest when the bundle is written.
    const configurations =
      options.configuration === undefined ? [] : await readConfigurations(kubernetes, options.configuration);
    const secret = await readSecret(kubernetes, target);
    complain(rotateProblem(secret));
    let found = readMaterial(secret ?? {});
    // Lost or broken: what is in memory is as good as new.
    if (!found.ca && material?.ca) found = { ...material, rotate: undefined };
    const before = JSON.stringify([secret?.data, secret?.metadata?.annotations]);
    for (let i = 0; i < MAX_STEPS; i++) {
      const { next } = found;
      const nextIsTrusted =
        next === undefined || configurations.every(({ configuration }) => trusts(configuration, next.cert));
      const step = nextStep(stateOf(found, names), { now: now(), overlapMs, nextIsTrusted });
      if (step === undefined) break;
      log.info({ step }, 'renewing certificates');
      found = await takeStep(step, found, { now: now(), names });
    }
    const owner = configurations[0];
    // Without an owner nobody would delete it: not yet installed, or uninstalled while this process still ends.
    const isKept = secret !== undefined || owner !== undefined || options.configuration === undefined;
    const wanted = writeMaterial(secret ?? newSecret(target, owner), found);
    if (isKept && JSON.stringify([wanted.data, wanted.metadata?.annotations]) !== before) {
      await writeSecret(kubernetes, target, wanted);
    }
    use(found);
    for (const each of configurations) await writeBundle(kubernetes, each, trusted(found), log);
  };

  const complain = (problem: string | undefined): void => {
    if (problem !== undefined && problem !== complaint) log.warn(`${where}: ${problem}`);
    complaint = problem;
  };

  const use = (found: Material): void => {
    material = found;
    if (!found.leaf || (found.leaf.cert === leaf?.cert && found.leaf.key === leaf.key)) return;
    const isFirst = leaf === undefined;
    leaf = { ...found.leaf, ca: trusted(found) };
    log.info({ notAfter: leaf.notAfter }, 'serving with the certificate of the Secret');
    if (isFirst) first.resolve(source);
    else listener();
  };

  const watches = [
    keepWatching(
      kubernetes,
      {
        what: where,
        path: secretsOf(target),
        name: target.name,
        onObject: () => loop.trigger(),
        onGone: () => loop.trigger(),
      },
      log,
    ),
    ...watchConfigurations(kubernetes, options, () => loop.trigger(), log),
  ];
  const source: CertificateSource = {
    current: () => leaf as Certificate,
    onChange(to) {
      listener = to;
    },
    close() {
      loop.close();
      for (const watch of watches) watch.close();
      listener = () => {};
    },
  };
  loop.trigger();
  return first.promise;
}

function watchConfigurations(
  kubernetes: Kubernetes,
  { configuration: name, onConfigurations }: KeeperOptions,
  onEvent: () => void,
  log: Logger,
): Array<{ close(): void }> {
  if (name === undefined) return [];
  const there = new Set<Kind['kind']>();
  return KINDS.map(({ kind, path }) =>
    keepWatching(
      kubernetes,
      {
        what: `${kind} ${name}`,
        path,
        name,
        onObject() {
          if (there.size === 0) onConfigurations?.(true);
          there.add(kind);
          onEvent();
        },
        // Uninstalling takes the rights to look away, too: so it is the event that tells.
        onGone() {
          there.delete(kind);
          if (there.size === 0) onConfigurations?.(false);
          onEvent();
        },
      },
      log,
    ),
  );
}

const secretsOf = ({ namespace }: ObjectName): string => `/api/v1/namespaces/${namespace}/secrets`;

async function readSecret(kubernetes: Kubernetes, secret: ObjectName): Promise<V1Secret | undefined> {
  try {
    return await kubernetes.ask<V1Secret>(`${secretsOf(secret)}/${secret.name}`);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Over the version that was read, or none: else the API server answers with a conflict. */
const writeSecret = (kubernetes: Kubernetes, target: ObjectName, secret: V1Secret): Promise<V1Secret> =>
  secret.metadata?.resourceVersion === undefined
    ? kubernetes.ask(secretsOf(target), { method: 'POST', body: secret })
    : kubernetes.ask(`${secretsOf(target)}/${target.name}`, { method: 'PUT', body: secret });

/** It goes with the webhook configuration when that is deleted, so that uninstalling leaves no key behind. */
function newSecret(
  { namespace, name }: ObjectName,
  owner: Awaited<ReturnType<typeof readConfigurations>>[number] | undefined,
): V1Secret {
  const { uid, name: ownerName } = owner?.configuration.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: {
      namespace,
      name,
      labels: { 'app.kubernetes.io/managed-by': 'hotmount-webhook' },
      ...(owner &&
        uid !== undefined &&
        ownerName !== undefined && {
          ownerReferences: [
            { apiVersion: 'admissionregistration.k8s.io/v1', kind: owner.kind.kind, name: ownerName, uid },
          ],
        }),
    },
  };
}
