import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { SOAK } from '../settings.ts';
import type { ApiAnswer, ApiClient } from './api-client.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { type Installation, install, type Replica } from './installation.ts';
import { deployment, namespace, pod } from './objects.ts';

/** How long each trouble is watched after it was made, and how often it is made. */
const WATCH_MS = SOAK ? 20_000 : 3_000;
const EDITS = SOAK ? 50 : 10;
const PER_SECOND = 20;
/** More than that are not asked for at once: what a slow machine cannot do must not pile up until requests time out for that alone. */
const MOST_AT_ONCE = 20;
/** Both CAs are trusted for so long; 300 in a cluster, where there are several API servers. */
const OVERLAP_SECONDS = 3;
/** What a wrong caBundle, or an API server that was away, may cost once it is over: asserted in the soak, on a machine of its own. */
const MAX_GAP_MS = 2_000;

/** Pods are admitted all the while, 20 a second; what may be refused, and for how long, is told by each test. */
describeInCluster('annotated pods, whatever happens', (cluster) => {
  let hotmount: Installation;
  let api: ApiClient;
  let load: Load;
  beforeAll(async () => {
    hotmount = await install(cluster(), {
      replicas: 2,
      args: [`--ca-overlap-seconds=${OVERLAP_SECONDS}`, '--drain-seconds=4'],
    });
    api = await cluster().apiClient();
    await cluster().apply(namespace('busy'));
    await cluster().eventually(() => cluster().kubectl('get', 'serviceaccount', 'default', '-n', 'busy'));
    load = new Load(api);
    load.start();
  });
  afterEach(() => {
    // Whatever else happened: never without what it asked for.
    expect(load.uninjected).toEqual([]);
  });
  afterAll(async () => {
    await load?.stop();
    await api?.close();
    await hotmount?.stop();
    await cluster().kubectl('delete', 'namespace', 'busy', '--wait=false');
  });

  const patchWebhooks = (operations: object[]) =>
    cluster().kubectl(
      'patch',
      'mutatingwebhookconfiguration',
      'hotmount',
      '--type=json',
      '-p',
      JSON.stringify(operations),
    );
  const secret = () => cluster().get('secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
  const askFor = (what: string) =>
    cluster().kubectl(
      'annotate',
      'secret',
      'hotmount-webhook-tls',
      '-n',
      hotmount.namespace,
      '--overwrite',
      `hotmount.io/rotate=${what}`,
    );
  /** Makes trouble, goes on for a while, and returns what was refused in all that time. */
  const during = async (trouble: () => Promise<unknown>): Promise<Refusal[]> => {
    load.refused.splice(0);
    const from = load.admitted;
    await trouble();
    await sleep(WATCH_MS);
    expect(load.admitted).toBeGreaterThan(from);
    return [...load.refused];
  };

  /** Waits until one is admitted. From then on, all have to be. */
  const untilAdmitted = async (): Promise<void> => {
    await cluster().eventually(async () => {
      const { code, body } = await api.create('busy', pod('again', { 'hotmount.io/lxcfs': 'meminfo' }), 'dryRun=All');
      expect(code, body.message).toBe(201);
    });
    await load.settled();
    expect(await during(async () => {})).toEqual([]);
  };

  test('are admitted while nothing happens', async () => {
    expect(await during(async () => {})).toEqual([]);
  });

  test('are admitted while the leaf is renewed', async () => {
    const before = await secret();
    const refused = await during(async () => {
      await askFor('leaf');
      await cluster().eventually(async () => expect((await secret()).data['tls.crt']).not.toBe(before.data['tls.crt']));
    });
    expect(refused).toEqual([]);
    expect((await secret()).data['ca.crt']).toBe(before.data['ca.crt']);
  });

  test('are admitted while the CA is renewed', async () => {
    const before = await secret();
    const refused = await during(async () => {
      await askFor('ca');
      await cluster().eventually(async () => {
        const { data } = await secret();
        expect(data['ca.crt']).not.toBe(before.data['ca.crt']);
        expect(data['next-ca.crt']).toBeUndefined();
        expect(data['old-ca.crt']).toBeUndefined();
      });
    });
    expect(refused).toEqual([]);
    const { webhooks } = await cluster().get('mutatingwebhookconfiguration', 'hotmount');
    expect(webhooks[0].clientConfig.caBundle).toBe((await secret()).data['ca.crt']);
  });

  test('are admitted while the Secret is deleted, and it comes back as it was', async () => {
    const before = await secret();
    const refused = await during(async () => {
      await cluster().kubectl('delete', 'secret', 'hotmount-webhook-tls', '-n', hotmount.namespace);
      await cluster().eventually(async () => expect((await secret()).data).toEqual(before.data));
    });
    expect(refused).toEqual([]);
  });

  test.each([
    ['is emptied', { op: 'remove' }],
    ['is replaced by a foreign one', { op: 'replace', value: Buffer.from(FOREIGN_CA).toString('base64') }],
  ])('are admitted again, by themselves, after the caBundle %s by hand', async (_, operation) => {
    const refused = await during(() =>
      patchWebhooks([0, 1, 2].map((i) => ({ ...operation, path: `/webhooks/${i}/clientConfig/caBundle` }))),
    );
    if (SOAK) expect(span(refused)).toBeLessThan(MAX_GAP_MS);
    for (const { message } of refused) expect(message).toMatch(/x509: certificate signed by unknown authority/);
    await untilAdmitted();
    const { webhooks } = await cluster().get('mutatingwebhookconfiguration', 'hotmount');
    expect(webhooks[0].clientConfig.caBundle).toBe((await secret()).data['ca.crt']);
  });

  /** Replicas that were told to go: they do when the API server has let go of its connections, up to 90 s later. */
  const leaving: Array<Promise<Replica>> = [];

  test('are admitted while one replica after the other is restarted', async () => {
    for (const replica of [...hotmount.replicas]) {
      const refused = await during(async () => {
        await hotmount.addReplica();
        // Many at once use connections that one after the other would not.
        const bursts = setInterval(() => load.burst(), 500);
        const gone = hotmount.removeReplica(replica).finally(() => clearInterval(bursts));
        leaving.push(gone.then(() => replica));
        if (SOAK) await gone;
      });
      expect(refused).toEqual([]);
    }
  });

  test(`are admitted while the policy is edited ${EDITS} times`, async () => {
    const policy = (i: number) =>
      `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: [{ name: edit-${i}, namespaces: ["*"], allow: { lxcfs: true } }]\n`;
    const refused = await during(async () => {
      for (let i = 0; i < EDITS; i++) await hotmount.setPolicy(policy(i));
    });
    expect(refused).toEqual([]);
    const { body } = await api.create('busy', pod('last-policy', { 'hotmount.io/lxcfs': 'meminfo' }), 'dryRun=All');
    expect(JSON.parse(body.metadata.annotations['hotmount.io/status'])).toMatchObject({ rules: [`edit-${EDITS - 1}`] });
  });

  test('are admitted again when the API server is back, and every ReplicaSet completes', async () => {
    await cluster().apply(deployment('patient', 5, { 'hotmount.io/lxcfs': 'meminfo' }), '-n', 'busy');
    let backAt = 0;
    const refused = await during(async () => {
      await cluster().stopApiServer();
      await cluster()
        .apply(deployment('late', 5, { 'hotmount.io/lxcfs': 'meminfo' }), '-n', 'busy')
        .catch(() => {});
      await cluster().startApiServer();
      backAt = performance.now();
    });
    if (SOAK) expect((refused.at(-1)?.at ?? backAt) - backAt).toBeLessThan(MAX_GAP_MS);
    await untilAdmitted();
    await cluster().apply(deployment('late', 5, { 'hotmount.io/lxcfs': 'meminfo' }), '-n', 'busy');
    for (const app of ['patient', 'late']) {
      await cluster().eventually(async () => {
        const { items } = await cluster().get('pods', '-n', 'busy', '-l', `app=${app}`);
        expect(items).toHaveLength(5);
        for (const item of items) expect(isInjected(item)).toBe(true);
      }, 60_000);
    }
    // The API server that was restarted has no connection left to those that were to go; none was closed on it.
    for (const { process } of await Promise.all(leaving)) {
      expect(process.exitCode).toBe(0);
      expect(process.output.trim().split('\n').at(-1)).toMatch(/"msg":"drained and closed"/);
      expect(process.output).not.toMatch(/"cut":/);
    }
    // And the webhook sees what changes from here on.
    const before = await secret();
    await askFor('leaf');
    await cluster().eventually(async () => expect((await secret()).data['tls.crt']).not.toBe(before.data['tls.crt']));
  });
});

interface Refusal {
  /** performance.now() */
  readonly at: number;
  readonly code: number;
  readonly message: string;
}

/** Creates annotated pods, so many a second, and looks at each that was let in. */
class Load {
  admitted = 0;
  /** Names of pods that were created without what they asked for. */
  readonly uninjected: string[] = [];
  readonly refused: Refusal[] = [];
  readonly #api: ApiClient;
  readonly #pending = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #count = 0;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  start(): void {
    this.#timer = setInterval(() => this.#start(), 1_000 / PER_SECOND);
  }

  /** As many at once as there may be. */
  burst(): void {
    for (let i = this.#pending.size; i < MOST_AT_ONCE; i++) this.#start();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.settled();
  }

  /** Resolves when all that is on its way has been answered. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #start(): void {
    if (this.#pending.size >= MOST_AT_ONCE) return;
    const one = this.#one().finally(() => this.#pending.delete(one));
    this.#pending.add(one);
  }

  async #one(): Promise<void> {
    const name = `load-${this.#count++}`;
    const answer: ApiAnswer = await this.#api.create('busy', pod(name, { 'hotmount.io/lxcfs': 'meminfo' }));
    if (answer.code === 201) {
      this.admitted++;
      if (!isInjected(answer.body)) this.uninjected.push(name);
      await this.#api.send('DELETE', `/api/v1/namespaces/busy/pods/${name}`, { gracePeriodSeconds: 0 });
    } else {
      this.refused.push({ at: performance.now(), code: answer.code, message: answer.body.message });
    }
  }
}

const isInjected = (created: {
  spec: { containers: Array<{ volumeMounts?: Array<{ mountPath: string }> }> };
}): boolean =>
  created.spec.containers.every(({ volumeMounts = [] }) =>
    volumeMounts.some(({ mountPath }) => mountPath === '/proc/meminfo'),
  );

const span = (refused: readonly Refusal[]): number => (refused.at(-1)?.at ?? 0) - (refused[0]?.at ?? 0);

/** A certificate of somebody else's, made for this test and thrown away; the API server refuses what is no certificate at all. */
const FOREIGN_CA = await foreignCa();

async function foreignCa(): Promise<string> {
  const { issueAuthority } = await import('../../src/admission/certificates/issue.ts');
  return (await issueAuthority(1)).cert;
}
