import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { defaultPolicyText, openPolicyFile } from '../../src/policy/index.ts';
import { SOAK } from '../settings.ts';
import { startLoad } from './load.ts';
import { podWith, reviewOf, scratch, startRig, until } from './support.ts';

const RELOADS = SOAK ? 100 : 8;

it('takes a changed policy file up under load without failing a request, and keeps the last good one', async () => {
  const directory = await scratch();
  const file = join(directory, 'policy.yaml');
  const strict = defaultPolicyText();
  const generous = `${strict}\n  - name: generous\n    namespaces: ["*"]\n    allow: { dev: ["/host-dev"] }\n`;
  // By rename: a file that is read half written would be a failure of its own.
  const replace = async (text: string) => {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  };
  await replace(strict);
  let changes = 0;
  let failures = 0;
  const rig = await startRig({
    policy: openPolicyFile(file, { onChange: () => changes++, onError: () => failures++ }),
    agent: { connections: 4 },
  });

  const review = reviewOf(podWith({ 'hotmount.io/dev': 'true' }));
  const call = () => rig.post('/mutate/pods', review);
  const isAllowed = async () => (await call()).json.response.allowed;
  const stop = startLoad(4, call);
  for (let i = 0; i < RELOADS; i++) {
    await replace(i % 2 === 0 ? generous : strict);
    await until(async () => (await isAllowed()) === (i % 2 === 0));
  }
  const allowed = await isAllowed();
  expect(failures).toBe(0);
  await replace('kind: Polizei');
  await until(() => failures > 0);
  expect(await isAllowed()).toBe(allowed);

  const { answers, errors } = await stop();
  expect(errors).toEqual([]);
  expect([...answers.keys()]).toEqual([200]);
  expect(changes).toBe(RELOADS);
});
