#!/usr/bin/env node
/**
 * `npm run chart:package [directory]`: packs the chart as helm does, `hotmount-VERSION.tgz`, and that as an OCI archive,
 * `hotmount-VERSION.oci.tar`, which goes to a registry without helm: `oras copy --from-oci-layout`, `skopeo copy oci-archive:…`. The same
 * chart makes the same bytes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';

const CHARTS = import.meta.dirname;
const NAME = 'hotmount';

export interface Packed {
  /** What `helm install` takes. */
  readonly chart: string;
  readonly ociArchive: string;
}

/** Writes both into a directory, and returns their paths. Needs GNU tar. */
export function packChart(directory: string): Packed {
  const metadata = parse(readFileSync(join(CHARTS, NAME, 'Chart.yaml'), 'utf8')) as { version: string };
  const chart = gzipSync(tar(CHARTS, NAME), { level: 9 });
  mkdirSync(directory, { recursive: true });
  const packed = {
    chart: join(directory, `${NAME}-${metadata.version}.tgz`),
    ociArchive: join(directory, `${NAME}-${metadata.version}.oci.tar`),
  };
  writeFileSync(packed.chart, chart);
  writeFileSync(packed.ociArchive, ociArchive(chart, metadata));
  return packed;
}

/** An OCI image layout (opencontainers/image-spec, image-layout.md) of one chart, with helm's media types. */
function ociArchive(chart: Buffer, metadata: { readonly version: string }): Buffer {
  const layout = mkdtempSync(join(tmpdir(), 'hotmount-chart-'));
  try {
    const blobs = join(layout, 'blobs', 'sha256');
    mkdirSync(blobs, { recursive: true });
    const blob = (mediaType: string, content: Buffer | object) => {
      const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
      const hex = createHash('sha256').update(bytes).digest('hex');
      writeFileSync(join(blobs, hex), bytes);
      return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
    };
    const manifestType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = blob(manifestType, {
      schemaVersion: 2,
      mediaType: manifestType,
      config: blob('application/vnd.cncf.helm.config.v1+json', metadata),
      layers: [blob('application/vnd.cncf.helm.chart.content.v1.tar+gzip', chart)],
      annotations: { 'org.opencontainers.image.title': NAME, 'org.opencontainers.image.version': metadata.version },
    });
    const reference = { 'org.opencontainers.image.ref.name': metadata.version };
    const write = (file: string, value: object) => writeFileSync(join(layout, file), JSON.stringify(value));
    write('index.json', { schemaVersion: 2, manifests: [{ ...manifest, annotations: reference }] });
    write('oci-layout', { imageLayoutVersion: '1.0.0' });
    return tar(layout, 'oci-layout', 'index.json', 'blobs');
  } finally {
    rmSync(layout, { recursive: true });
  }
}

/** Nothing of who packs, and when, goes in. */
function tar(directory: string, ...names: readonly string[]): Buffer {
  const same = [
    '--sort=name',
    '--format=ustar',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mtime=@0',
    '--mode=go=rX,u+rw',
  ];
  return execFileSync('tar', [...same, '-C', directory, '-cf', '-', ...names], { maxBuffer: 64 * 2 ** 20 });
}

if (import.meta.main) {
  const { chart, ociArchive } = packChart(process.argv[2] ?? 'dist');
  process.stdout.write(`${chart}\n${ociArchive}\n`);
}
