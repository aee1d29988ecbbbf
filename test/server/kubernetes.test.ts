import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type CurrentPolicy, selfSigned, startWebhook } from '../../src/admission/index.ts';
import { openNamespaceLabels } from '../../src/kubernetes/index.ts';
import { keepWatching } from '../../src/kubernetes/watch.ts';
import { defaultPolicy } from '../../src/policy/index.ts';
import { fakeApiServer } from './fake-api-server.ts';
import { collectingLogger, type LogLine, onCleanup, until } from './support.ts';

const _POLICY = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\n';
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
    const watched = keepWatching(
      kubernetes,
      { ...options, list: () => kubernetes.core.listNamespace() },
      collectingLogger(lines),
    );
    onCleanup(() => watched.close());
    await until(() => lists.length >= 5);
    // Half of 200, 400, 800 and 1,600 at least; timers may be a little early.
    expect((lists[4] ?? 0) - (lists[0] ?? 0)).toBeGreaterThan(1_450);
    expect(lines.map(({ msg }) => msg)).toEqual(['lost sight of it, trying again: Forbidden (403)']);
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
    await expect(startWebhook(options)).rejects.toThrow('another process has it');
    const closed = Promise.withResolvers<void>();
    policy.resolve({ current: defaultPolicy, close: () => closed.resolve() });
    await closed.promise;
  });
});
