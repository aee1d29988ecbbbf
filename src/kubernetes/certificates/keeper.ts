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
import { newSecret, readSecret, secretsOf, writeSecret } from './secret.ts';

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
  return new CertificateKeeper(kubernetes, options, log).first;
}

class CertificateKeeper implements CertificateSource {
  readonly #kubernetes: Kubernetes;
  readonly #options: KeeperOptions;
  readonly #log: Logger;
  /** Of the Secret, in messages. */
  readonly #where: string;
  readonly #first = Promise.withResolvers<CertificateSource>();
  readonly #loop = new ReconcileLoop(() => this.#run());
  readonly #watches: readonly { close(): void }[];
  #material: Material | undefined;
  #leaf: Certificate | undefined;
  #listener = (): void => {};
  /** In a row. */
  #failures = 0;
  #isFailureTold = false;
  #complaint: string | undefined;

  constructor(kubernetes: Kubernetes, options: KeeperOptions, log: Logger) {
    const { secret } = options;
    this.#kubernetes = kubernetes;
    this.#options = options;
    this.#log = log;
    this.#where = `Secret ${secret.namespace}/${secret.name}`;
    const onEvent = (): void => this.#loop.trigger();
    const watched = { what: this.#where, path: secretsOf(secret), name: secret.name };
    this.#watches = [
      keepWatching(kubernetes, { ...watched, onObject: onEvent, onGone: onEvent }, log),
      ...watchConfigurations(kubernetes, options, onEvent, log),
    ];
    this.#loop.trigger();
  }

  /** Resolves to this keeper once there is a leaf. */
  get first(): Promise<CertificateSource> {
    return this.#first.promise;
  }

  current(): Certificate {
    return this.#leaf as Certificate;
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  close(): void {
    this.#loop.close();
    for (const watch of this.#watches) watch.close();
    this.#listener = () => {};
  }

  /** @returns ms until the next run */
  async #run(): Promise<number> {
    try {
      await this.#reconcile();
      this.#failures = 0;
      this.#isFailureTold = false;
      return Math.min(RESYNC_MS, this.#options.overlapMs / 4);
    } catch (error) {
      this.#failures++;
      this.#tellFailure(error);
      return Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), LAST_RETRY_MS) * (0.5 + Math.random());
    }
  }

  #tellFailure(error: unknown): void {
    // Mostly another replica was faster; but what can never be written is refused with the same codes.
    const isConflict = [409, 422].includes(statusOf(error) ?? 0);
    if (this.#isFailureTold || (isConflict && this.#failures < MANY_CONFLICTS)) return;
    this.#isFailureTold = true;
    const { configuration } = this.#options;
    const what = this.#where + (configuration === undefined ? '' : ` and the caBundle of ${configuration}`);
    this.#log.warn(`the certificates in ${what} cannot be looked after, trying again: ${problemOf(error)}`);
  }

  /** Reads everything, and does what is missing. Rejects with what the API server refused. */
  async #reconcile(): Promise<void> {
    const kubernetes = this.#kubernetes;
    const { secret: target, configuration } = this.#options;
    // The configurations before the Secret: their version then vouches for the Secret being the newest when the bundle is written.
    const configurations = configuration === undefined ? [] : await readConfigurations(kubernetes, configuration);
    const secret = await readSecret(kubernetes, target);
    this.#complain(rotateProblem(secret));
    const found = await this.#renew(this.#read(secret), configurations);
    const owner = configurations[0];
    const wanted = writeMaterial(secret ?? newSecret(target, owner), found);
    // Without an owner nobody would delete it: not yet installed, or uninstalled while this process still ends.
    const isKept = secret !== undefined || owner !== undefined || configuration === undefined;
    if (isKept && contentOf(wanted) !== contentOf(secret)) await writeSecret(kubernetes, target, wanted);
    this.#use(found);
    for (const each of configurations) await writeBundle(kubernetes, each, trusted(found), this.#log);
  }

  /** Lost or broken: what is in memory is as good as new. */
  #read(secret: V1Secret | undefined): Material {
    const found = readMaterial(secret ?? {});
    return !found.ca && this.#material?.ca ? { ...this.#material, rotate: undefined } : found;
  }

  /** Takes the steps that are due. */
  async #renew(material: Material, configurations: Awaited<ReturnType<typeof readConfigurations>>): Promise<Material> {
    const { names, overlapMs, now = Date.now } = this.#options;
    let found = material;
    for (let i = 0; i < MAX_STEPS; i++) {
      const { next } = found;
      const nextIsTrusted =
        next === undefined || configurations.every(({ configuration }) => trusts(configuration, next.cert));
      const step = nextStep(stateOf(found, names), { now: now(), overlapMs, nextIsTrusted });
      if (step === undefined) break;
      this.#log.info({ step }, 'renewing certificates');
      found = await takeStep(step, found, { now: now(), names });
    }
    return found;
  }

  #use(found: Material): void {
    this.#material = found;
    const { leaf } = found;
    if (!leaf || (leaf.cert === this.#leaf?.cert && leaf.key === this.#leaf.key)) return;
    const isFirst = this.#leaf === undefined;
    this.#leaf = { ...leaf, ca: trusted(found) };
    this.#log.info({ notAfter: leaf.notAfter }, 'serving with the certificate of the Secret');
    if (isFirst) this.#first.resolve(this);
    else this.#listener();
  }

  #complain(problem: string | undefined): void {
    if (problem !== undefined && problem !== this.#complaint) this.#log.warn(`${this.#where}: ${problem}`);
    this.#complaint = problem;
  }
}

const contentOf = (secret: V1Secret | undefined): string =>
  JSON.stringify([secret?.data, secret?.metadata?.annotations]);

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
