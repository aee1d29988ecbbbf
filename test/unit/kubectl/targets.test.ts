import { expect, it } from 'vitest';
import { findTarget } from '../../../src/commands/kubectl/targets.ts';
import { fakeConnection } from './fake-connection.ts';

const BATCH = '/apis/batch/v1/namespaces/shop';
const PODS = '/api/v1/namespaces/shop/pods';
const job = (uid: string, owner?: string) => ({
  metadata: { uid, ...(owner ? { ownerReferences: [{ uid: owner, controller: true }] } : {}) },
});
const pod = (name: string) => ({ metadata: { name } });

it('finds the pods of a CronJob by the Jobs that it has made', async () => {
  const connection = fakeConnection({
    [`${BATCH}/cronjobs/nightly`]: { kind: 'CronJob', metadata: { uid: 'c' }, spec: {} },
    [`${BATCH}/jobs`]: { items: [job('one', 'c'), job('another', 'd'), job('by-hand'), job('two', 'c')] },
    [PODS]: { items: [pod('nightly-1')] },
  });
  const { title, pods } = await findTarget(connection, 'cronjob/nightly');
  expect(title).toBe('CronJob shop/nightly');
  expect(pods).toEqual([pod('nightly-1')]);
  expect(connection.asked.at(-1)).toBe(`${PODS}?batch.kubernetes.io/controller-uid in (one,two)`);
});

it('finds no pods of a CronJob that has made no Job', async () => {
  const connection = fakeConnection({
    [`${BATCH}/cronjobs/nightly`]: { kind: 'CronJob', metadata: { uid: 'c' }, spec: {} },
    [`${BATCH}/jobs`]: { items: [job('by-hand')] },
    [PODS]: { items: [pod('of-somebody')] },
  });
  expect((await findTarget(connection, 'cj/nightly')).pods).toEqual([]);
});

it('finds the pods of a Deployment by its selector', async () => {
  const selector = {
    matchLabels: { app: 'web' },
    matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }],
  };
  const connection = fakeConnection({
    '/apis/apps/v1/namespaces/shop/deployments/web': { kind: 'Deployment', spec: { selector } },
    [PODS]: { items: [pod('web-1')] },
  });
  expect((await findTarget(connection, 'deploy/web')).pods).toEqual([pod('web-1')]);
  expect(connection.asked.at(-1)).toBe(`${PODS}?app=web,tier in (a,b)`);
});
