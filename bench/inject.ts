import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { prepareTools } from '../test/cluster/binaries.ts';
import { median } from './webhook/load.ts';

/**
 * `hotmount inject -R` against `kubectl annotate --local -R` on the same 4,000 files of three documents each, in turns. kubectl reads
 * and writes every document; hotmount those that ask, and what asks for nothing goes through unread.
 */
const FILES = 4_000;
const ROUNDS = 3;
const CLI = join(import.meta.dirname, '../src/cli.ts');
const SHARES = [
  ['none asks', 0],
  ['one in ten asks', 10],
  ['all ask', 1],
] as const;

const directory = mkdtempSync(join(tmpdir(), 'hotmount-bench-inject-'));
try {
  const { kubectl } = await prepareTools();
  for (const [name, every] of SHARES) {
    const files = join(directory, name);
    writeFiles(files, every);
    const ours: Run[] = [];
    const theirs: Run[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      ours.push(run(process.execPath, ['--max-semi-space-size=2', CLI, 'inject', '-R', files]));
      theirs.push(run(kubectl, ['annotate', '--local', '-R', '-f', files, 'example.com/a=b', '-o', 'yaml']));
    }
    console.log(`${name}: ${figures(ours)}; kubectl: ${figures(theirs)}; ratio ${ratio(ours, theirs)}`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}

interface Run {
  readonly seconds: number;
  /** Of CPU, in seconds. */
  readonly cpu: number;
  readonly megabytes: number;
}

/** By GNU time, which tells the peak of the resident memory. */
function run(program: string, args: readonly string[]): Run {
  const [output, report] = [openSync('/dev/null', 'w'), join(directory, 'time')];
  const env = { ...process.env, MALLOC_ARENA_MAX: '1', KUBECONFIG: join(directory, 'none') };
  const { status, stderr } = spawnSync('/usr/bin/time', ['-o', report, '-f', '%e %U %S %M', program, ...args], {
    stdio: ['ignore', output, 'pipe'],
    encoding: 'utf8',
    env,
  });
  closeSync(output);
  if (status !== 0) throw new Error(`${program} exited with ${status}: ${stderr.slice(0, 1000)}`);
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = readFileSync(report, 'utf8').trim().split(' ').map(Number);
  return { seconds, cpu: user + system, megabytes: kilobytes / 1024 };
}

function middle(runs: readonly Run[], key: keyof Run): number {
  return median(runs.map((one) => one[key]));
}

function figures(runs: readonly Run[]): string {
  return `${middle(runs, 'seconds').toFixed(2)} s, CPU ${middle(runs, 'cpu').toFixed(2)} s, ${middle(runs, 'megabytes').toFixed(0)} MB`;
}

function ratio(ours: readonly Run[], theirs: readonly Run[]): string {
  const of = (key: keyof Run) => (middle(ours, key) / middle(theirs, key)).toFixed(2);
  return `${of('seconds')}, CPU ${of('cpu')}`;
}

function writeFiles(files: string, every: number): void {
  for (let i = 0; i < FILES; i++) {
    const file = join(files, `team-${i % 40}`, `${i}.yaml`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, manifest(i, every > 0 && i % every === 0));
  }
}

/** What a small application is made of: 3 KB. */
function manifest(i: number, asks: boolean): string {
  const lines = (count: number, line: (k: number) => string) =>
    Array.from({ length: count }, (_, k) => line(k)).join('');
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-${i}
  namespace: shop # of all teams
${asks ? '  annotations:\n    hotmount.io/lxcfs: "true"\n' : ''}spec:
  replicas: 2
  selector:
    matchLabels: {app: app-${i}}
  template:
    metadata:
      labels:
        app: app-${i}
    spec:
      containers:
      - name: app
        image: "registry.example/app:${i}"
        ports: [{containerPort: 8080, name: http}]
        env:
${lines(12, (k) => `        - name: VAR_${k}\n          value: "value ${k} of ${i}"\n`)}        resources:
          limits: {cpu: 500m, memory: 128Mi}
---
apiVersion: v1
kind: Service
metadata:
  name: app-${i}
  namespace: shop
spec:
  selector: {app: app-${i}}
  ports:
  - port: 80
    targetPort: http
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: app-${i}
data:
  app.conf: |
${lines(30, (k) => `    option_${k} = some value that is ${k} words long\n`)}`;
}
