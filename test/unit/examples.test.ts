import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { JsonObject, Labels } from '../../src/contract/json.ts';
import { injectManifest } from '../../src/injection/index.ts';
import { parsePolicy } from '../../src/policy/index.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples');
const read = (file: string): string => readFileSync(join(EXAMPLES, file), 'utf8');
const documents = (file: string): JsonObject[] => parseAllDocuments(read(file)).map((document) => document.toJS());
const metadataOf = (object: JsonObject) => object['metadata'] as { name: string; namespace?: string; labels?: Labels };

const policy = parsePolicy(read('policy.yaml'));
const namespaces = new Map(
  documents('namespaces.yaml').map((object) => [metadataOf(object).name, metadataOf(object).labels ?? {}]),
);

/** What each example's comment promises, as `container feature=items`; or the codes of its warnings and denials. */
const PROMISES: Record<string, { gets: string[]; warnings?: string[]; denials?: string[] }> = {
  'cronjob.yaml': { gets: ['report lxcfs=cpuinfo,meminfo'] },
  'denied.yaml': { gets: [], denials: ['privileged_not_allowed'] },
  'edge-copier.yaml': { gets: ['copier media=usb:/media'] },
  'legacy-java.yaml': { gets: ['app lxcfs=cpuinfo,meminfo,stat,loadavg,swaps,diskstats,cpu'] },
  'live.yaml': { gets: ['web live=/hotmount'] },
  'namespace-default.yaml': { gets: ['app lxcfs=cpuinfo,meminfo'] },
  'node-agent.yaml': { gets: ['agent dev=/host-dev', 'agent propagation=srv=HostToContainer'] },
  'serial-rig.yaml': { gets: ['rig capabilities=SYS_NICE', 'rig devices=serial:/dev/hotmount/serial'] },
  'sidecar.yaml': { gets: ['db lxcfs=meminfo', 'backup media=usb:/restore:ro'] },
  'udevd.yaml': { gets: ['udevd uevents=udevd'] },
  'warned.yaml': { gets: ['web lxcfs=meminfo'], warnings: ['container_not_found'] },
};
const workloads = readdirSync(EXAMPLES).filter((file) => file !== 'policy.yaml' && file !== 'namespaces.yaml');

describe('the examples', () => {
  it('are all promised something here', () => {
    expect(workloads.toSorted()).toEqual(Object.keys(PROMISES).toSorted());
  });

  it.each(workloads)('%s says what it asks for and what it gets', (file) => {
    expect(read(file)).toMatch(/^# Asks for: .+\n(# .+\n)*# Gets: .+\n/);
  });

  it.each(workloads)('%s gets what it says', (file) => {
    const results = documents(file).map((object) => {
      const { namespace = '' } = metadataOf(object);
      expect(namespaces.keys().toArray()).toContain(namespace);
      return injectManifest(object, { namespace, namespaceLabels: namespaces.get(namespace) }, policy);
    });
    const entries = results.flatMap(({ summary }) => summary.entries);
    const byFeature = Map.groupBy(entries, ({ container, feature }) => `${container} ${feature}`);
    expect({
      gets: [...byFeature].map(([key, items]) => `${key}=${items.map(({ item }) => item).join(',')}`),
      warnings: results.flatMap(({ warnings }) => warnings.map(({ reason }) => reason)),
      denials: results.flatMap(({ denials }) => denials.map(({ reason }) => reason)),
    }).toEqual({ warnings: [], denials: [], ...PROMISES[file] });
  });
});
