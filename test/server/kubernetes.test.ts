import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type CurrentPolicy, selfSigned, startWebhook } from '../../src/admission/index.ts';
import { defaultPolicy } from '../../src/policy/index.ts';
import { collectingLogger, onCleanup } from './support.ts';

const _POLICY = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: []\n';
const _list = (...items: object[]) => ({ kind: 'List', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items });
const _refusal = (code: number, message: string) => ({ kind: 'Status', apiVersion: 'v1', code, message });

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
