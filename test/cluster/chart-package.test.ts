import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { packChart } from '../../charts/package.ts';
import { describeInCluster } from './describe-in-cluster.ts';
import { CHART } from './installation.ts';

describeInCluster('the chart, packed', (cluster) => {
  const directory = mkdtempSync(join(tmpdir(), 'hotmount-package-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const template = (chart: string) =>
    cluster().helm('template', 'hotmount', chart, '-n', 'packed', '--set', 'image.repository=a');

  test('renders what the directory does, from the package and from the OCI archive, whose bytes are always the same', async () => {
    const { chart, ociArchive } = packChart(join(directory, 'one'));
    const again = packChart(join(directory, 'two'));
    for (const [one, two] of [
      [chart, again.chart],
      [ociArchive, again.ociArchive],
    ] as const) {
      expect(readFileSync(one).equals(readFileSync(two))).toBe(true);
    }
    const expected = await template(CHART);
    expect(await template(chart)).toBe(expected);

    execFileSync('tar', ['-xf', ociArchive, '-C', directory]);
    const blob = (digest: string) => join(directory, 'blobs', digest.replace(':', '/'));
    const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
    const manifest = read(blob(read(join(directory, 'index.json')).manifests[0].digest));
    expect(manifest.config.mediaType).toBe('application/vnd.cncf.helm.config.v1+json');
    expect(read(blob(manifest.config.digest))).toMatchObject({ name: 'hotmount', apiVersion: 'v2' });
    expect(readFileSync(blob(manifest.layers[0].digest)).equals(readFileSync(chart))).toBe(true);
  });

  test('shows its readme', async () => {
    const { chart } = packChart(join(directory, 'one'));
    expect(await cluster().helm('show', 'readme', chart)).toContain('# The hotmount chart');
  });
});
