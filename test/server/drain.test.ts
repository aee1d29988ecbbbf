import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { Agent } from 'undici';
import { expect, it } from 'vitest';
import { API_SERVER_LIMITS } from '../../src/admission/server/tls-server.ts';
import { SOAK } from '../settings.ts';
import { startLoad } from './load.ts';
import { LXCFS, onCleanup, podWith, reviewOf, send, startRig } from './support.ts';

const review = reviewOf(podWith(LXCFS));
const SECONDS = SOAK ? 10 : 5;

it('drains under load without failing a request, on connections kept alive and on new ones', async () => {
  const rig = await startRig({ agent: { connections: 8 } });
  const idle = new Agent({ connect: { ca: rig.webhook.ca ?? '' }, connections: 1, keepAliveTimeout: 60_000 });
  onCleanup(() => idle.destroy());
  const post = { method: 'POST', body: review, headers: { 'content-type': 'application/json' } } as const;
  const callIdle = () => send(`${rig.webhook.url}/mutate/pods`, { ...post, dispatcher: idle });
  expect((await callIdle()).headers['connection']).toBe('keep-alive');

  let stillKept = 0;
  let draining = false;
  const stop = startLoad(8, async () => {
    const begunDraining = draining;
    const answer = await rig.post('/mutate/pods', review);
    if (begunDraining && answer.headers['connection'] !== 'close') stillKept++;
    return answer;
  });
  await sleep(200);
  draining = true;
  const drained = rig.webhook.drain(SECONDS);
  expect(await rig.get(`${rig.webhook.metricsUrl}/readyz`)).toMatchObject({
    statusCode: 503,
    text: 'not ready: it is shutting down\n',
  });
  expect((await rig.get(`${rig.webhook.metricsUrl}/healthz`)).statusCode).toBe(200);

  await sleep(SECONDS * 500);
  // Quiet since before the drain began, and used now: served, and then asked to go.
  expect(await callIdle()).toMatchObject({ statusCode: 200, headers: { connection: 'close' } });
  const { answers, errors } = await stop();
  expect(errors).toEqual([]);
  expect([...answers.keys()]).toEqual([200]);
  expect(stillKept).toBe(0);

  expect(await drained).toBe(0);
  await expect(callIdle()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await expect(send(rig.webhook.metricsUrl, { method: 'GET' })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

it('leaves an idle connection to its client, which may come back to it at any time', async () => {
  const rig = await startRig({ agent: { connections: 1, keepAliveTimeout: 60_000 } });
  await rig.post('/mutate/pods', review);
  let ended = false;
  const drained = rig.webhook.drain(0.1).finally(() => {
    ended = true;
  });
  // Long past the drain.
  await sleep(1_000);
  expect(ended).toBe(false);
  expect(await rig.post('/mutate/pods', review)).toMatchObject({ statusCode: 200, headers: { connection: 'close' } });
  expect(await drained).toBe(0);
});

it('closes on a client that does not go, when API servers would have gone', async () => {
  const rig = await startRig({
    agent: { connections: 1, keepAliveTimeout: 60_000 },
    limits: { ...API_SERVER_LIMITS, idleClient: 300 },
  });
  await rig.post('/mutate/pods', review);
  expect(await rig.webhook.drain(0.1)).toBe(1);
});

it('waits for no idle connection once nobody is told to call it any more', async () => {
  const rig = await startRig({ agent: { connections: 1, keepAliveTimeout: 60_000 } });
  await rig.post('/mutate/pods', review);
  const uninstalled = new AbortController();
  let ended = false;
  const drained = rig.webhook.drain(0.1, uninstalled.signal).finally(() => {
    ended = true;
  });
  await sleep(500);
  expect(ended).toBe(false);
  uninstalled.abort();
  expect(await drained).toBe(1);
  const again = await startRig({ agent: { connections: 1, keepAliveTimeout: 60_000 } });
  await again.post('/mutate/pods', review);
  expect(await again.webhook.drain(0.1, uninstalled.signal)).toBe(1);
});

it('waits for nobody when it is given no time', async () => {
  const rig = await startRig({ agent: { connections: 1, keepAliveTimeout: 60_000 } });
  await rig.post('/mutate/pods', review);
  expect(await rig.webhook.drain(0)).toBe(1);
});

it('closes although a client is silent, sends half a request, or has not finished its handshake', async () => {
  const rig = await startRig();
  const port = Number(new URL(rig.webhook.url).port);
  const options = { port, host: '127.0.0.1', ca: rig.webhook.ca };
  const open = [connect(options), connect(options)];
  for (const socket of open) {
    onCleanup(() => socket.destroy());
    await new Promise((resolve) => socket.on('error', () => {}).once('secureConnect', resolve));
  }
  open[0]?.write(
    'POST /mutate/pods HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{',
  );

  const raw = connectTcp(port, '127.0.0.1').on('error', () => {});
  onCleanup(() => raw.destroy());
  await new Promise((resolve) => raw.once('connect', resolve));
  const closed = [...open, raw].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
  await rig.webhook.close();
  await Promise.all(closed);
  const late = connectTcp(port, '127.0.0.1');
  onCleanup(() => late.destroy());
  await expect(once(late, 'connect')).rejects.toThrow('ECONNREFUSED');
});

it('finishes what it is answering before it closes', async () => {
  const labels = Promise.withResolvers<Record<string, string>>();
  const asked = Promise.withResolvers<void>();
  const rig = await startRig({
    namespaceLabels: () => {
      asked.resolve();
      return labels.promise;
    },
  });
  const answer = rig.post('/mutate/pods', review);
  await asked.promise;
  const closed = rig.webhook.close();
  labels.resolve({});
  expect(await answer).toMatchObject({ statusCode: 200, headers: { connection: 'close' } });
  await closed;
});
