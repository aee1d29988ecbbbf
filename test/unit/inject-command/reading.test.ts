import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { run } from './run.ts';

const flags = { namespaceLabels: { 'pod-security.kubernetes.io/enforce': 'privileged' } };
const pod = (name: string, more = '') => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  annotations:
    hotmount.io/lxcfs: meminfo
${more}spec:
  containers:
  - name: web
`;
const POD = pod('web');
const INJECTED = 'hotmount-lxcfs-meminfo';

let dir: string;
const file = (name: string, content: string | Buffer): string => {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
};
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'hotmount-reading-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('hotmount inject: what kubectl takes and a parser does not', () => {
  it.each([
    ['a key twice', 'a: 1\na: 2\n'],
    ['quotes that are not indented', 'a: "b\nc"\n'],
    ['a template', 'metadata:\n  name: {{ .Release.Name }}\n'],
    ['no object', '- a\n'],
    ['an alias without an anchor', 'a: *b\n'],
    ['depth', `a: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`],
    ['JSON that ends too early', '{"a": 1'],
    ['control characters', 'a: "\u0001"\n'],
  ])('goes through as it is where it asks for nothing: %s', async (_, text) => {
    expect(await run([], {}, text)).toEqual({ code: 0, stdout: text, stderr: '' });
    expect(await run([], { explain: true }, text)).toMatchObject({ code: 0, stdout: text });
  });

  it.each([
    ['a key twice', `${pod('bad')}kind: Pod\n`, 'the key is there twice'],
    ['quotes that are not indented', `${pod('bad')}  image: "b\nc"\n`, 'the text in quotes is not closed'],
    ['a list as a key', `${pod('bad')}? [a]\n: b\n`, 'a key is a list or a mapping'],
    ['a template', `# {{ x }}\n${pod('{{ x }}')}`, 'a template has to be rendered first'],
    ['depth', `${pod('bad')}x: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`, 'nested too deeply'],
    ['a list', `- ${pod('bad').replaceAll('\n', '\n  ')}\n`, 'expected a Kubernetes object, found a list'],
  ])('is an error of its own where it asks: %s; the others go on', async (_, bad, message) => {
    const { code, stdout, stderr } = await run([], flags, `${POD}---\n${bad}---\n${POD}`);
    expect(code).toBe(2);
    expect(stdout).toContain(bad);
    expect(stdout.split(`- name: ${INJECTED}`)).toHaveLength(5);
    expect(stderr).toMatch(new RegExp(`^stdin:\\d+:\\d+: .*${message}`, 'm'));
    expect(stderr).toMatch(/\nhotmount inject: 1 error: what cannot be read is written as it came\n$/);
  });

  it('has the errors of all files said, and the exit code is 2 beside a denial, too', async () => {
    const bad = file('bad.yaml', `${POD}kind: Pod\n`);
    const denied = file('denied.yaml', POD.replace('lxcfs: meminfo', 'privileged: "true"'));
    const { code, stderr } = await run([bad, denied, bad], flags);
    expect(code).toBe(2);
    expect(stderr).toMatch(/hotmount inject: 2 errors: .*\nhotmount inject: 1 object would be denied and is left/);
  });

  it('says that a link to nothing in a directory is left out, and injects the other files', async () => {
    const root = join(dir, 'links');
    mkdirSync(root);
    symlinkSync('nowhere', join(root, '.#web.yaml'));
    writeFileSync(join(root, 'web.yaml'), POD);
    const { code, stdout, stderr } = await run([root], flags);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `${join(root, '.#web.yaml')}: cannot be read: no such file or directory (ENOENT)\nhotmount inject: 1 error: what cannot be read is left out\n`,
    });
    expect(stdout).toContain(INJECTED);
    writeFileSync(join(root, 'bad.yaml'), `${POD}kind: Pod\n`);
    expect((await run([root], flags)).stderr).toContain(
      'hotmount inject: 2 errors: what cannot be read is written as it came, and files that cannot be opened are left out\n',
    );
  });

  it('writes UTF-32 as it came', async () => {
    const utf32 = Buffer.from(
      [...'\uFEFFhotmount.io/: x\n'].flatMap((char) => [...Buffer.from(`${char}\0`, 'utf16le')]),
    );
    const chunks: Buffer[] = [];
    const { code, stderr } = await run([], flags, utf32, (chunk) => void chunks.push(Buffer.from(chunk)));
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('UTF-32, convert it') });
    expect(Buffer.concat(chunks)).toEqual(utf32);
  });

  it.each([
    ['', '"": the name of a file is missing'],
    ['https://example.com/web.yaml', 'curl -fsSL https://example.com/web.yaml | hotmount inject'],
  ])('says what is wrong with the file name %j', async (name, message) => {
    await expect(run([name], flags)).rejects.toThrow(message);
  });

  it('leaves what cannot be read out of JSON', async () => {
    const { code, stdout, stderr } = await run([], { ...flags, output: 'json' }, `a: 1\na: 2\n---\n${POD}`);
    expect({ code, kind: JSON.parse(stdout).kind }).toEqual({ code: 2, kind: 'Pod' });
    expect(stderr).toContain('what cannot be read is left out');
  });

  it('reads keys that are written with escapes', async () => {
    const key = String.raw`"hotmount\x2eio\/\u006cxcfs"`;
    const { stdout } = await run([], flags, POD.replace('hotmount.io/lxcfs', key));
    expect(stdout).toContain(INJECTED);
    const folded = POD.replace('hotmount.io/lxcfs:', '? "hot\\\n      mount.io/lxcfs"\n    :');
    expect((await run([], flags, folded)).stdout).toContain(INJECTED);
    const json = JSON.stringify(parse(POD)).replace('io/lxcfs', String.raw`io\/lxcfs`);
    expect((await run([], flags, json)).stdout).toContain(INJECTED);
  });

  it('warns of a prefix in the wrong case', async () => {
    const { code, stderr } = await run([], flags, POD.replace('hotmount.io', 'HotMount.io'));
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr:
        'stdin:6:5: warning: Pod default/web: annotation HotMount.io/lxcfs is unknown to hotmount: did you mean hotmount.io/lxcfs?\n',
    });
  });
});

describe('hotmount inject: input without objects', () => {
  it.each(['', '\n', '---\n# nothing\n', 'just text\n'])('says so of %j, which goes through', async (text) => {
    expect(await run([], flags, text)).toEqual({
      code: 0,
      stdout: text,
      stderr: 'stdin: note: no Kubernetes objects in it: it goes through as it is\n',
    });
  });
});

describe('hotmount inject: annotations at a wrong place', () => {
  const inWords = async (value: object) => {
    const { code, stdout, stderr } = await run([], flags, JSON.stringify(value));
    expect({ code, stdout }).toEqual({ code: 0, stdout: JSON.stringify(value) });
    return stderr.trim().split('\n');
  };
  const key = { 'hotmount.io/lxcfs': 'true' };
  const spec = { containers: [{ name: 'web', image: 'web' }] };
  const pod = (object: object) => ({ apiVersion: 'v1', kind: 'Pod', ...object });
  const metadata = { name: 'web' };

  it.each([
    ['metadata.labels', { metadata: { ...metadata, labels: key }, spec }],
    ['metadata', { metadata: { ...metadata, ...key }, spec }],
    ['metadata.anotations', { metadata: { ...metadata, anotations: key }, spec }],
    ['spec', { metadata, spec: { ...spec, ...key } }],
    ['spec.annotations', { metadata, spec: { ...spec, annotations: key } }],
    ['annotations', { metadata, annotations: key, spec }],
  ])('warns of one at %s', async (place, object) => {
    expect(await inWords(pod(object))).toEqual([
      expect.stringMatching(
        new RegExp(
          `^stdin:1:\\d+: warning: Pod default/web: hotmount.io/lxcfs at ${place} is no annotation, and does nothing: move it to metadata.annotations$`,
        ),
      ),
    ]);
  });

  it('names the line of the key, and the annotations of the pod template it belongs to', async () => {
    const template =
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    metadata:\n      labels:\n';
    const rest = '    spec: {containers: [{name: web, image: web}]}\n';
    const { stderr } = await run([], flags, `${template}        hotmount.io/dev.web: "true"\n${rest}`);
    expect(stderr).toBe(
      'stdin:8:9: warning: Deployment default/web: hotmount.io/dev.web at spec.template.metadata.labels is no annotation, ' +
        'and does nothing: move it to spec.template.metadata.annotations\n',
    );
  });

  it('says nothing of labels, selectors and resources of hotmount', async () => {
    const label = { 'hotmount.io/defaults': 'enabled', 'hotmount.io/usb': '' };
    const object = pod({
      metadata: { ...metadata, labels: label },
      spec: {
        containers: [{ ...spec.containers[0], resources: { limits: { 'hotmount.io/media': '1' } } }],
        nodeSelector: { 'hotmount.io/media': '' },
      },
    });
    expect(await inWords(object)).toEqual(['']);
    expect(await inWords({ apiVersion: 'v1', kind: 'Node', metadata: { ...metadata, labels: key } })).toEqual(['']);
  });
});

describe('hotmount inject: encodings and line ends', () => {
  it.each([
    ['UTF-16, little endian', Buffer.from(`\uFEFF${POD}`, 'utf16le')],
    ['UTF-16, big endian', Buffer.from(`\uFEFF${POD}`, 'utf16le').swap16()],
  ])('reads %s, and writes UTF-8', async (_, bytes) => {
    const utf8 = await run([], flags, POD);
    expect(await run([], flags, bytes)).toEqual(utf8);
  });

  it.each([
    ['Latin-1', Buffer.from(`# \xe9\n${POD}`, 'latin1'), 'not UTF-8'],
    ['UTF-16 without a byte-order mark', Buffer.from(POD, 'utf16le'), 'NUL characters'],
  ])('says what to do about %s that asks, and leaves it as it is byte for byte', async (_, bytes, message) => {
    const written: Buffer[] = [];
    const name = file('odd.yaml', bytes);
    const { code, stderr } = await run([name], flags, '', (chunk) => written.push(Buffer.from(chunk)));
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(Buffer.concat(written)).toEqual(bytes);
  });

  it('has Latin-1 that asks for nothing go through byte for byte', async () => {
    const written: Buffer[] = [];
    const bytes = Buffer.from('kind: Service # \xe9\n', 'latin1');
    const { code, stderr } = await run([], flags, bytes, (chunk) => written.push(Buffer.from(chunk)));
    expect({ code, stderr, bytes: Buffer.concat(written) }).toEqual({ code: 0, stderr: '', bytes });
  });

  it('reads lines that end with a CR alone, and writes such', async () => {
    const { stdout } = await run([], flags, POD.replaceAll('\n', '\r'));
    expect(stdout).not.toContain('\n');
    expect(stdout.replaceAll('\r', '\n')).toBe((await run([], flags, POD)).stdout);
  });

  it('keeps what stands behind --- in its own word', async () => {
    const text = `----- first\n${POD}----- second\n${POD}`;
    const { stdout } = await run([], flags, text);
    expect(stdout.match(/^-----.*$/gm)).toEqual(['----- first', '----- second']);
    expect(stdout.split(`- name: ${INJECTED}`)).toHaveLength(5);
  });

  it('reads what can be read only once', async () => {
    const pipe = join(dir, 'pipe.yaml');
    execFileSync('mkfifo', [pipe]);
    const namespaced = `${POD}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n`;
    const writer = new Promise<void>((resolve, reject) => {
      import('node:fs').then(({ writeFile }) =>
        writeFile(pipe, namespaced, (error) => (error ? reject(error) : resolve())),
      );
    });
    const [{ stdout }] = await Promise.all([run([pipe], flags), writer]);
    expect(stdout).toContain(INJECTED);
  });
});

describe('hotmount inject: lists', () => {
  const list = (items: readonly unknown[], kind = 'List') =>
    `${JSON.stringify({ apiVersion: 'v1', kind, items }, null, 1)}\n`;

  it.each([
    ['null', null],
    ['a number', 7],
    ['a text', 'a'],
    ['a boolean', true],
    ['a list', [parse(POD)]],
  ])('says where an item is %s, and injects the others', async (_, odd) => {
    for (const kind of ['List', 'PodList']) {
      const text = list([parse(POD), odd, parse(POD)], kind);
      const { code, stdout, stderr } = await run([], flags, text);
      const after = JSON.parse(stdout);
      expect(after.items.map((item: { spec?: { volumes?: unknown[] } }) => item?.spec?.volumes?.length)).toEqual([
        1,
        undefined,
        1,
      ]);
      expect(after.items[1]).toEqual(odd);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^stdin:\d+:3: error: items\[1\]: expected an object, found /);
    }
  });

  it('does so in lists in lists', async () => {
    const inner = { apiVersion: 'v1', kind: 'List', items: [null, parse(POD)] };
    const { code, stdout, stderr } = await run([], flags, list([parse(POD), inner]));
    expect(code).toBe(2);
    expect(stdout.split(`"name": "${INJECTED}"`)).toHaveLength(5);
    expect(stderr).toContain('items[1].items[0]: expected an object, found null');
  });

  it('says where the items are no list', async () => {
    const text = '{"apiVersion": "v1", "kind": "List", "items": {"a": 1}} # hotmount.io/\n';
    const { code, stdout, stderr } = await run([], flags, text);
    expect({ code, stdout }).toEqual({ code: 2, stdout: text });
    expect(stderr).toContain('error: items: expected a list, found an object');
  });

  it('takes a List without items', async () => {
    const text = 'apiVersion: v1\nkind: List # hotmount.io/\nitems:\n';
    expect(await run([], flags, text)).toEqual({ code: 0, stdout: text, stderr: '' });
  });
});

describe('hotmount inject: parts of workloads', () => {
  const patch = (spec: string) =>
    `apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  annotations: {hotmount.io/lxcfs: "true"}\n${spec}`;
  const CRON_JOB = `apiVersion: batch/v1
kind: CronJob
metadata: {name: web}
spec: {jobTemplate: {spec: {template: {metadata: {annotations: {hotmount.io/lxcfs: "true"}}}}}}
`;

  it.each([
    ['without a spec', patch(''), 'spec.template.spec.containers'],
    ['with null for one', patch('spec:\n'), 'spec.template.spec.containers'],
    ['without a template', patch('spec: {replicas: 2}\n'), 'spec.template.spec.containers'],
    ['with a template without a spec', patch('spec: {template: {metadata: {}}}\n'), 'spec.template.spec.containers'],
    ['without containers', patch('spec: {template: {spec: {}}}\n'), 'spec.template.spec.containers'],
    ['with no container', patch('spec: {template: {spec: {containers: []}}}\n'), 'spec.template.spec.containers'],
    ['of a CronJob', CRON_JOB, 'spec.jobTemplate.spec.template.spec.containers'],
    ['of a pod', POD.replace(/spec:[\s\S]*/, ''), 'spec.containers'],
    ['of a pod with init containers', POD.replace('containers', 'initContainers'), 'spec.containers'],
  ])('go through as they are, with a warning: %s', async (_, text, field) => {
    for (const explain of [false, true]) {
      const { code, stdout, stderr } = await run([], { ...flags, explain }, text);
      expect({ code, stdout }).toEqual({ code: 0, stdout: text });
      expect(stderr).toMatch(new RegExp(`warning: .*/web: it has no ${field}, and goes through as it is`));
      expect(stderr).not.toContain('nothing asks for hotmount');
      if (explain) expect(stderr).toContain(`nothing added: it has no ${field}`);
    }
  });

  it('names the field of the workload where something else is in it', async () => {
    const { code, stderr } = await run([], flags, patch('spec: {template: {spec: {containers: {}}}}\n'));
    expect(code).toBe(2);
    expect(stderr).toContain('Deployment default/web: spec.template.spec.containers: expected a list, found an object');
    expect((await run([], flags, patch('spec: {template: {spec: 1}}\n'))).stderr).toContain(
      'spec.template.spec: expected an object, found 1',
    );
  });
});

describe('hotmount inject: Pod Security', () => {
  const hostPath = { volumes: 'hostPath' } as const;
  const restricted = { ...hostPath, namespaceLabels: { 'pod-security.kubernetes.io/enforce': 'restricted' } };
  const pods = Array.from({ length: 20 }, (_, i) => pod(`web-${i}`)).join('---\n');

  it('is said once a namespace, however many objects', async () => {
    const other = pod('other').replace('metadata:\n', 'metadata:\n  namespace: shop\n');
    const { stderr } = await run([], restricted, `${pods}---\n${other}`);
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(
        /^stdin:1:1: warning: Pod default\/web-0 and 19 more in its namespace: .* namespace default/,
      ),
      expect.stringMatching(/^stdin:\d+:1: warning: Pod shop\/other: .* namespace shop enforces restricted/),
      '',
    ]);
  });

  it('is not said where no level is known to be enforced, unless asked', async () => {
    expect((await run([], hostPath, pods)).stderr).toBe('');
    expect((await run([], { ...hostPath, namespaceLabels: { a: 'b' } }, pods)).stderr).toBe('');
    const { stderr } = await run([], { ...hostPath, explain: true }, pods);
    expect(stderr.match(/warning: .*a namespace or cluster that enforces it rejects the pod/g)).toHaveLength(20);
  });
});

describe('hotmount inject: many files', () => {
  it('writes what has been read before the next is read, joined as one stream', async () => {
    const root = join(dir, 'many');
    mkdirSync(root);
    for (let i = 0; i < 300; i++) writeFileSync(join(root, `${i}.yaml`), `# ${'x'.repeat(1000)}\n${POD.trimEnd()}`);
    const chunks: string[] = [];
    const { code } = await run([root], flags, '', (chunk) => chunks.push(chunk.toString()));
    expect(code).toBe(0);
    expect(chunks.length).toBeGreaterThan(3);
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThan(100_000);
    const documents = chunks.join('').split(/^---$/m);
    expect(documents).toHaveLength(300);
    for (const document of documents) expect(document).toContain(INJECTED);
  });
});
