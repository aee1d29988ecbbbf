import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import jsonPatch from 'fast-json-patch';
import { selfSigned, startWebhook } from '../../src/admission/index.ts';
import { keepHeapSmall } from '../../src/commands/memory.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { parsePolicy } from '../../src/policy/index.ts';

/**
 * The webhook as a child process of a benchmark, decision log and metrics on. With `baseline` it answers with a structuredClone and a
 * compare of the whole pod, as a webhook does that mutates a copy; nothing else differs.
 */
if (process.argv[2] === 'baseline') {
  const { compare } = jsonPatch;
  jsonPatch.compare = (before, after) => compare(before, structuredClone(after));
}
const policy = parsePolicy(readFileSync(join(import.meta.dirname, 'policy.yaml'), 'utf8'));
const webhook = await startWebhook({
  policy: { current: () => policy, close() {} },
  certificates: selfSigned(undefined),
  log: createLogger('info'),
  host: '127.0.0.1',
});
keepHeapSmall();
process.on('message', (question) => {
  if (question === 'close') void webhook.close().then(() => process.disconnect?.());
  else process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() });
});
process.send?.({ url: webhook.url, ca: webhook.ca });
