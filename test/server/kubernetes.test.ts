import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { KubernetesObject } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { type CurrentPolicy, selfSigned, startWebhook } from '../../src/admission/index.ts';
import { keepCertificates, openNamespaceLabels, openPolicyConfigMap } from '../../src/kubernetes/index.ts';
import { askApi } from '../../src/kubernetes/rest.ts';
import { keepWatching } from '../../src/kubernetes/watch.ts';
import { defaultPolicy, type Policy } from '../../src/policy/index.ts';
import { type Asked, fakeApiServer } from './fake-api-server.ts';
import { collectingLogger, type LogLine, onCleanup, until } from './support.ts';

const POLICY = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\n';
const list = (...items: object[]) => ({ kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items });
const refusal = (code: number, message: string) => ({ kind: 'Status', apiVersion: 'v1', code, message });

describe('a watch', () => {
  it('waits longer and longer while it is refused, although the list before it is not', async () => {
    const lists: number[] = [];
    const kubernetes = await fakeApiServer(({ isWatch, reply }) => {
      if (isWatch) return reply(403, refusal(403, 'watching is forbidden'));
      lists.push(performance.now());
      reply(200, list());
    });
    const lines: LogLine[] = [];
    const options = { what: 'it', path: '/api/v1/namespaces', onObject() {}, onGone() {} };
    const watched = keepWatching(kubernetes, options, collectingLogger(lines));
    onCleanup(() => watched.close());
    await until(() => lists.length >= 5);
    // Half of 200, 400, 800 and 1,600 at least; timers may be a little early.
    expect((lists[4] ?? 0) - (lists[0] ?? 0)).toBeGreaterThan(1_450);
    expect(lines.map(({ msg }) => msg)).toEqual(['lost sight of it, trying again: watching is forbidden (403)']);
  });
});

describe('a request', () => {
  it('that is not answered in time fails with that, also in the midst of its answer', async () => {
    const kubernetes = await fakeApiServer(({ path, watch }) => {
      if (path === '/half') watch();
    });
    for (const path of ['/none', '/half']) {
      const asked = askApi(kubernetes.config, path, { signal: AbortSignal.timeout(100) });
      await expect(asked).rejects.toThrow('due to timeout');
    }
  });
});

describe('a watch that goes on', () => {
  const seen: string[] = [];
  const options = {
    what: 'it',
    path: '/api/v1/namespaces',
    onObject: ({ metadata }: KubernetesObject) => void seen.push(`+${metadata?.name}`),
    onGone: (name: string) => void seen.push(`-${name}`),
  };
  /** An API server of one namespace, that is gone in the second list; each watch is told what there is from its version on. */
  async function watchedBy(
    silence: number,
    from: (version: string | null, watches: number) => Parameters<ReturnType<Asked['watch']>> | undefined,
  ) {
    seen.length = 0;
    const asked: string[] = [];
    let watches = 0;
    const kubernetes = await fakeApiServer(({ isWatch, version, reply, watch }) => {
      asked.push(isWatch ? `watch ${version}` : 'list');
      if (!isWatch) return reply(200, list(...(asked.length === 1 ? [{ metadata: { name: 'shop' } }] : [])));
      const tell = watch();
      const event = from(version, ++watches);
      if (event) tell(...event);
    });
    const watched = keepWatching(kubernetes, { ...options, silence }, collectingLogger([]));
    onCleanup(() => watched.close());
    return asked;
  }

  it('from its last version, where it has been silent for long', async () => {
    const bookmark = { metadata: { resourceVersion: '7' } };
    const asked = await watchedBy(200, (version) => (version === '1' ? ['BOOKMARK', bookmark] : undefined));
    await until(() => asked.includes('watch 7'));
    // On a busy machine, the silence may be over before the bookmark comes.
    expect([...new Set(asked)]).toEqual(['list', 'watch 1', 'watch 7']);
    expect(seen).toEqual(['+shop']);
  });

  it('from a new list, where its version is too old', async () => {
    const asked = await watchedBy(60_000, (_, watches) =>
      watches === 1 ? ['ERROR', refusal(410, 'too old')] : undefined,
    );
    await until(() => asked.length >= 4);
    expect(asked).toEqual(['list', 'watch 1', 'list', 'watch 1']);
    expect(seen).toEqual(['+shop', '-shop']);
  });
});

describe('the policy in a ConfigMap', () => {
  it('is told to be in force, also where it is the first after one that could not be used', async () => {
    let tell = (_: Parameters<ReturnType<Asked['watch']>>[0], _object: object): void => {};
    const kubernetes = await fakeApiServer(({ method, isWatch, reply, watch }) => {
      if (isWatch) tell = watch();
      else reply(200, method === 'GET' ? list() : {});
    });
    const told: string[] = [];
    const listener = {
      onChange: (_: Policy) => void told.push('in force'),
      onError: ({ message }: { readonly message: string }) => void told.push(message),
    };
    const opening = openPolicyConfigMap(
      kubernetes,
      { namespace: 'ns', name: 'policy' },
      listener,
      collectingLogger([]),
    );
    await until(() => told.length === 1);
    const configMap = (resourceVersion: string, text: string) => ({
      metadata: { namespace: 'ns', name: 'policy', resourceVersion },
      data: { 'policy.yaml': text },
    });
    tell('ADDED', configMap('2', 'kind: Polizei'));
    await until(() => told.length === 2);
    tell('MODIFIED', configMap('3', POLICY));
    const source = await opening;
    onCleanup(() => source.close());
    expect(told).toEqual(['there is no ConfigMap ns/policy', expect.stringContaining('policy.yaml:1:'), 'in force']);
  });
});

describe('certificates in a Secret', () => {
  it('that can never be written are complained of, once, although a conflict now and then is nothing', async () => {
    let writes = 0;
    const kubernetes = await fakeApiServer(({ method, path, isWatch, reply, watch }) => {
      if (isWatch) watch();
      else if (method === 'POST') {
        writes++;
        reply(422, refusal(422, 'Secret "tls" is invalid'));
      } else if (path.endsWith('/secrets')) reply(200, list());
      else reply(404, refusal(404, 'not found'));
    });
    const lines: LogLine[] = [];
    const options = { secret: { namespace: 'ns', name: 'tls' }, names: ['a.ns.svc'], configuration: undefined };
    void keepCertificates(kubernetes, { ...options, overlapMs: 1_000 }, collectingLogger(lines));
    const warnings = () => lines.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    await until(() => writes === 4);
    expect(warnings()).toEqual([]);
    await until(() => writes === 7);
    expect(warnings()).toEqual([
      'the certificates in Secret ns/tls cannot be looked after, trying again: Secret "tls" is invalid (422)',
    ]);
  });
});

describe('labels of a namespace', () => {
  it('are not waited for until the API server gives up on the webhook', async () => {
    const kubernetes = await fakeApiServer(() => {});
    const lines: LogLine[] = [];
    const namespaces = openNamespaceLabels(kubernetes, collectingLogger(lines));
    onCleanup(() => namespaces.close());
    expect(await namespaces.labels('shop')).toBeUndefined();
    // The request itself has not failed yet: that is told in the log.
    expect(lines).toEqual([]);
  });

  it('cost few requests, however many namespaces are invented, and a new one is still found', async () => {
    let requests = 0;
    let tell: ReturnType<Asked['watch']> | undefined;
    const kubernetes = await fakeApiServer(({ path, isWatch, reply, watch }) => {
      if (isWatch) {
        tell = watch();
      } else if (path === '/api/v1/namespaces') {
        reply(200, list());
      } else {
        requests++;
        reply(404, refusal(404, 'namespaces not found'));
      }
    });
    const lines: LogLine[] = [];
    const namespaces = openNamespaceLabels(kubernetes, collectingLogger(lines));
    onCleanup(() => namespaces.close());
    await until(() => tell !== undefined);
    const invented = Array.from({ length: 500 }, (_, i) => namespaces.labels(`invented-${i}`));
    const found = namespaces.labels('shop');
    tell?.('ADDED', { metadata: { name: 'shop', resourceVersion: '2', labels: { tier: 'gold' } } });
    expect(await found).toEqual({ tier: 'gold' });
    expect(new Set(await Promise.all(invented))).toEqual(new Set([undefined]));
    expect(requests).toBeLessThan(50);
    expect(lines.length).toBeLessThan(50);

    const before = requests;
    for (let i = 0; i < 10; i++) expect(await namespaces.labels('invented-0')).toBeUndefined();
    for (const name of ['Not-A-Name', '../../secrets', 'a'.repeat(64), '']) {
      expect(namespaces.labels(name)).toBeUndefined();
    }
    expect(requests).toBe(before);
  });
});

describe('a webhook that cannot start', () => {
  it('says so while a source of it is still loading, and closes that one when it has', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onCleanup(() => other.close());
    await once(other, 'listening');
    const { port: metricsPort } = other.address() as AddressInfo;
    const policy = Promise.withResolvers<CurrentPolicy>();
    const log = collectingLogger([]);
    const options = { policy: policy.promise, certificates: selfSigned(), log, host: '127.0.0.1', metricsPort };
    await expect(startWebhook(options)).rejects.toThrow('another process uses it');
    const closed = Promise.withResolvers<void>();
    policy.resolve({ current: defaultPolicy, close: () => closed.resolve() });
    await closed.promise;
  });
});
