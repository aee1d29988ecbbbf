import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { InjectFlags } from '../../../src/commands/inject.ts';
import { run } from './run.ts';

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: web   # the shop
  namespace: shop
  annotations:
    hotmount.io/lxcfs: "meminfo"
spec:
  containers:
  - name: web
    image: nginx:1.25
`;
const DEPLOYMENT = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop, annotations: {hotmount.io/lxcfs: "true"}}
spec: {template: {spec: {containers: [{name: api}]}}}
`;
const SERVICE =
  'apiVersion: v1\nkind: Service   # no pods\nmetadata:\n  name: "web"\n\n\nspec: {ports: [ {port: 80} ]}\n';
const DENIED = POD.replace('hotmount.io/lxcfs: "meminfo"', 'hotmount.io/privileged: "true"').replace('web ', 'bad ');
const namespace = (name: string, labels: string) =>
  `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${name}\n  labels: {${labels}}\n`;
const PRIVILEGED = 'pod-security.kubernetes.io/enforce: privileged';

const POLICY = `apiVersion: hotmount.io/v1alpha1
kind: Policy
rules:
  - name: gold
    namespaces: ["*"]
    namespaceLabels: { tier: [gold] }
    allow: { lxcfs: true }
`;

let dir: string;
const file = (name: string, text: string | Buffer): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const withFlags = (flags: InjectFlags = {}): InjectFlags => ({ namespaceLabels: { ...LABELS }, ...flags });
/** What a terminal would do something about, line feeds excepted. */
const OBEYED = /(?!\n)[\p{Cc}\p{Bidi_Control}]/u;
const LABELS = { 'pod-security.kubernetes.io/enforce': 'privileged' };

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'hotmount-inject-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('hotmount inject: what comes in', () => {
  it('reads stdin where no file is named, and where - is', async () => {
    expect((await run([], {}, SERVICE)).stdout).toBe(SERVICE);
    expect((await run(['-'], {}, SERVICE)).stdout).toBe(SERVICE);
    expect((await run([], { filename: ['-'] }, SERVICE)).stdout).toBe(SERVICE);
  });

  it('says what to do on a terminal without input', async () => {
    await expect(run([])).rejects.toThrow('no manifests: name files or directories, or pipe manifests in');
  });

  it('reads files named with --filename, then those named without', async () => {
    const a = file('a.txt', 'a: 1\n');
    const b = file('b.txt', 'b: 2\n');
    expect((await run([b], { filename: [a] })).stdout).toBe('a: 1\n---\nb: 2\n');
  });

  it('reads the manifests in a directory by name, and below it only with --recursive', async () => {
    const root = join(dir, 'manifests');
    mkdirSync(join(root, 'sub.yaml'), { recursive: true });
    for (const name of ['b.yml', 'a.yaml', 'c.json', 'notes.txt', 'sub.yaml/d.yaml']) {
      writeFileSync(join(root, name), `{"file": "${name}"}\n`);
    }
    symlinkSync(join(root, 'a.yaml'), join(root, 'd.yaml'));
    expect((await run([root])).stdout).toBe(
      '{"file": "a.yaml"}\n{"file": "b.yml"}\n{"file": "c.json"}\n{"file": "a.yaml"}\n',
    );
    expect((await run([root], { recursive: true })).stdout).toContain('sub.yaml/d.yaml');
  });

  it('names all files that cannot be read, and why', async () => {
    mkdirSync(join(dir, 'empty'), { recursive: true });
    const error = await run([join(dir, 'missing.yaml'), join(dir, 'empty')]).catch((e: Error) => e);
    expect(error).toMatchObject({ name: 'BadInput' });
    expect(String((error as Error).message).split('\n')).toEqual([
      `${join(dir, 'missing.yaml')}: cannot be read: no such file or directory (ENOENT)`,
      expect.stringContaining('has no *.yaml, *.yml or *.json files; --recursive'),
    ]);
  });

  it('names the field of a malformed object', async () => {
    const text = POD.replace(/ {2}containers:[\s\S]*/, '  containers: {}\n');
    const { code, stdout, stderr } = await run([], {}, text);
    expect({ code, stdout }).toEqual({ code: 2, stdout: text });
    expect(stderr).toMatch(/^stdin:1:1: error: Pod shop\/web: spec\.containers: expected a list/);
  });
});

describe('hotmount inject: what comes out', () => {
  it('changes only what it adds, and leaves every other document as it is', async () => {
    const { stdout, code } = await run([], withFlags(), `# head\n${SERVICE}---\n${POD}---\n# tail\n`);
    expect(code).toBe(0);
    expect(stdout).toBe(`# head
${SERVICE}---
${POD.replace(
  'meminfo"\n',
  `meminfo"\n    hotmount.io/status: '{"containers":{"web":{"lxcfs":"meminfo"}},"rules":["everyone"]}'\n`,
)}    volumeMounts:
    - name: hotmount-lxcfs-meminfo
      mountPath: /proc/meminfo
      readOnly: true
  volumes:
  - name: hotmount-lxcfs-meminfo
    csi:
      driver: hotmount.io
      readOnly: true
      volumeAttributes:
        lxcfs: meminfo
---
# tail
`);
  });

  it('joins files into one stream, whatever they begin and end with', async () => {
    const files = [
      file('1.yaml', 'a: 1'),
      file('2.yaml', '\uFEFF# two\nb: 2\n'),
      file('3.yaml', '---\nc: 3\n'),
      file('4.yaml', '%YAML 1.2\n---\nd: 4\n'),
      file('5.json', '{"e": 5}{"f": 6}'),
    ];
    const { stdout } = await run(files);
    expect(stdout).toBe('a: 1\n---\n# two\nb: 2\n---\nc: 3\n...\n%YAML 1.2\n---\nd: 4\n---\n{"e": 5}\n---\n{"f": 6}');
    expect(parseAllDocuments(stdout).map((document) => document.toJS())).toEqual([
      { a: 1 },
      { b: 2 },
      { c: 3 },
      { d: 4 },
      { e: 5 },
      { f: 6 },
    ]);
  });

  it('injects what a List holds, the items of typed lists too', async () => {
    const pod = parse(POD);
    const list = { apiVersion: 'v1', kind: 'List', items: [parse(SERVICE), pod] };
    const { apiVersion: _, kind: __, ...untyped } = pod;
    const typed = { apiVersion: 'v1', kind: 'PodList', items: [untyped] };
    const json = `${JSON.stringify(list, null, 2)}\n${JSON.stringify(typed)}\n`;
    const { stdout } = await run([], withFlags(), json);
    const [first, second] = stdout.split(/(?<=^\})\n/m).map((text) => JSON.parse(text));
    expect(first.items[0]).toEqual(list.items[0]);
    expect(first.items[1].spec.volumes).toHaveLength(1);
    expect(second.items[0].spec.volumes).toHaveLength(1);
    expect(second.items[0]).not.toHaveProperty('kind');
  });

  it('leaves a custom resource alone that is only called List', async () => {
    const text = 'apiVersion: example.com/v1\nkind: AllowList\nitems: [a, b]\n';
    expect(await run([], {}, text)).toEqual({ code: 0, stdout: text, stderr: '' });
  });

  it('writes YAML with -o yaml, and leaves YAML as it is', async () => {
    const json = '{"apiVersion":"v1","kind":"Service","metadata":{"name":"yes"},"script":"a\\nb\\n"}';
    const { stdout } = await run([file('s.json', json), file('s.yaml', SERVICE)], { output: 'yaml' });
    expect(stdout).toBe(
      `apiVersion: v1\nkind: Service\nmetadata:\n  name: "yes"\nscript: |\n  a\n  b\n---\n${SERVICE}`,
    );
  });

  it('writes one JSON with -o json: the object, or a List of all', async () => {
    const one = JSON.parse((await run([], withFlags({ output: 'json' }), POD)).stdout);
    expect(one).toMatchObject({ kind: 'Pod', spec: { volumes: [{ name: 'hotmount-lxcfs-meminfo' }] } });
    const list = `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service}\n---\n# empty\n---\n${POD}`;
    const all = JSON.parse((await run([], withFlags({ output: 'json' }), list)).stdout);
    expect(all).toMatchObject({ apiVersion: 'v1', kind: 'List', items: [{ kind: 'Service' }, one] });
  });

  it('refuses to convert numbers that it cannot hold', async () => {
    const text = '{"apiVersion": "v1", "kind": "X", "size": 12345678901234567890}\n';
    expect((await run([], {}, text)).stdout).toBe(text);
    const asJson = await run([], { output: 'json' }, `${text}${POD}`.replace('}\n', '}\n---\n'));
    expect(asJson.code).toBe(2);
    expect(JSON.parse(asJson.stdout)).toMatchObject({ kind: 'Pod' });
    expect(asJson.stderr).toMatch(/^stdin:1:1: the number in size is too large/);
    expect(await run([], { output: 'yaml' }, text)).toMatchObject({ code: 2, stdout: text });
    const infinite = await run([], { output: 'json' }, 'a: .inf\n');
    expect(infinite.stderr).toContain('stdin:1:1: the number in a cannot be written as JSON');
  });

  it('writes a diff an object with -o diff, and nothing where nothing changes', async () => {
    const { stdout } = await run([], withFlags({ output: 'diff' }), `${SERVICE}---\n${POD}---\n${DEPLOYMENT}`);
    expect(stdout.match(/^(?:---|\+\+\+) .*/gm)).toEqual([
      '--- Pod shop/web',
      '+++ Pod shop/web (injected)',
      '--- Deployment shop/api',
      '+++ Deployment shop/api (injected)',
    ]);
    expect(stdout).toContain('\n+    - name: hotmount-lxcfs-meminfo\n+      mountPath: /proc/meminfo\n');
    expect(stdout).not.toContain('\u001b');
    expect(await run([], { output: 'diff' }, SERVICE)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('colours the diff with --color', async () => {
    const { stdout } = await run([], withFlags({ output: 'diff', color: true }), POD);
    expect(stdout).toContain('\u001b[32m+    volumeMounts:\u001b[39m');
  });

  it('gives the terminal no control characters from manifests', async () => {
    const text = DENIED.replace('name: bad ', 'name: "\\e[2Jbad\\n" ');
    const { stdout, stderr } = await run([], withFlags({ output: 'diff', explain: true }), text);
    expect(stdout + stderr).not.toMatch(OBEYED);
  });

  it('gives the terminal none in diffs either, in titles and lines', async () => {
    const text = POD.replace('name: web ', 'name: "w\\u202eb" ').replace(
      'image: nginx',
      'image: "n\\x9b31m\\x85"\n    tty: "\\u202e" #',
    );
    const { stdout, stderr } = await run([], withFlags({ output: 'diff', explain: true }), text);
    expect(stdout).toContain('--- Pod shop/w\ufffdb\n');
    expect(stdout).toContain('n\ufffd31m');
    expect(stdout + stderr).not.toMatch(OBEYED);
  });

  it.each([
    ['an alias', 'metadata: *\u001bcfoo\n'],
    ['a key', 'a: 1\na\u001bc: 1\na\u001bc: 2\n'],
    ['a text', '"\u001bc\n'],
  ])('gives the terminal none when it complains about %s', async (_, text) => {
    const { code, stderr } = await run([], {}, `# hotmount.io/\n${text}`);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^stdin:/);
    expect(stderr).not.toMatch(OBEYED);
  });
});

describe('hotmount inject: what it says', () => {
  it('explains as JSON lines beside JSON', async () => {
    const { stderr, code } = await run(
      [],
      withFlags({ output: 'json', explain: true }),
      `${POD}---\n${DENIED}---\n[]\n`,
    );
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const version = { apiVersion: 'hotmount.io/v1alpha1' };
    expect(lines).toMatchObject([
      {
        ...version,
        kind: 'InjectExplanation',
        object: { kind: 'Pod' },
        gives: [{ feature: 'lxcfs', item: 'meminfo', rule: 'everyone' }],
        remarks: [],
      },
      {
        ...version,
        kind: 'InjectExplanation',
        gives: [],
        remarks: [{ severity: 'denied', place: expect.stringMatching(/^stdin:\d+:\d+/) }],
      },
      { ...version, kind: 'InjectProblem', message: expect.any(String) },
    ]);
    expect(code).toBe(2);
  });

  it('names file, line, kind and object of a denial, writes that one as it came, and exits with 1', async () => {
    const name = file('mixed.yaml', `${DENIED}---\n${POD}`);
    const { code, stdout, stderr } = await run([name], withFlags());
    expect(code).toBe(1);
    expect(stdout).toContain(DENIED);
    expect(stdout).toContain('hotmount-lxcfs-meminfo');
    expect(stderr).toMatch(
      /mixed\.yaml:7:5: denied: Pod shop\/bad: hotmount\.io\/privileged asks for privileged, which no/,
    );
    expect(stderr).toMatch(/\nhotmount inject: 1 object would be denied and is left as it came\n$/);
  });

  it('denies a workload as its pods would be', async () => {
    const text = DEPLOYMENT.replace('lxcfs', 'privileged');
    const { code, stdout, stderr } = await run([], withFlags(), text);
    expect({ code, stdout }).toEqual({ code: 1, stdout: text });
    expect(stderr).toContain('stdin:3:54: denied: Deployment shop/api: ');
  });

  it('points at annotations that are not strings', async () => {
    const { code, stderr } = await run([], {}, POD.replace('"meminfo"', 'true'));
    expect(code).toBe(1);
    expect(stderr).toContain('stdin:7:5: denied: Pod shop/web: annotation hotmount.io/lxcfs is true, and');
  });

  it('points into lists and JSON', async () => {
    const list = { apiVersion: 'v1', kind: 'List', items: [parse(SERVICE), parse(DENIED)] };
    const { stderr } = await run([], withFlags(), JSON.stringify(list, null, 1));
    const line =
      JSON.stringify(list, null, 1)
        .split('\n')
        .findIndex((text) => text.includes('hotmount.io/')) + 1;
    expect(stderr).toContain(`stdin:${line}:6: denied: Pod shop/bad`);
  });

  it('tells warnings without failing', async () => {
    const text = POD.replace('hotmount.io/lxcfs:', 'hotmount.io/lxcfs.wbe:');
    const { code, stderr } = await run([], withFlags(), text);
    expect(code).toBe(0);
    expect(stderr).toContain('stdin:7:5: warning: Pod shop/web: annotation hotmount.io/lxcfs.wbe names the container');
  });

  it('notes annotations on kinds that it does not cover, but for what a controller made', async () => {
    const text = DEPLOYMENT.replace('Deployment', 'ReplicaSet');
    const { code, stdout, stderr } = await run([], {}, text);
    expect({ code, stdout }).toEqual({ code: 0, stdout: text });
    expect(stderr).toContain(
      'stdin:3:54: note: ReplicaSet shop/api: annotation hotmount.io/lxcfs is not acted upon: hotmount does not cover ReplicaSet of apps/v1',
    );
    const owned = text.replace('name: api,', 'name: api, ownerReferences: [{controller: true}],');
    expect((await run([], {}, owned)).stderr).toBe('');
  });

  it('explains what each container gets by which rule, and why another gets nothing', async () => {
    const { stderr } = await run([], withFlags({ explain: true }), `${POD}---\n${DENIED}---\n${SERVICE}`);
    expect(stderr).toBe(`Pod shop/web
  container web
    FEATURE  ADDED    RULE
    lxcfs    meminfo  everyone

Pod shop/bad
  refused:
${/^stdin:.*denied:.*$/m.exec(stderr)?.[0]}

hotmount inject: 1 object would be denied and is left as it came
`);
    const plain = POD.replace(/ {2}annotations:\n.*\n/, '');
    expect((await run([], { explain: true }, plain)).stderr).toContain('nothing added: nothing asks for hotmount');
  });
});

describe('hotmount inject: namespaces and policies', () => {
  let policy: string;
  beforeEach(() => {
    policy = file('policy.yaml', POLICY);
  });
  const isInjected = async (text: string, flags: InjectFlags): Promise<boolean> => {
    const { stdout } = await run([], { policy, ...flags }, text);
    return stdout.includes('hotmount-lxcfs');
  };

  it('takes the labels of Namespaces that are among the manifests, anywhere', async () => {
    expect(await isInjected(`${POD}---\n${namespace('shop', `tier: gold, ${PRIVILEGED}`)}`, {})).toBe(true);
    expect(await isInjected(`${POD}---\n${namespace('shop', 'tier: tin')}`, {})).toBe(false);
    const list = `apiVersion: v1\nkind: List\nitems:\n- ${namespace('shop', 'tier: gold').trim().replaceAll('\n', '\n  ')}\n---\n${POD}`;
    expect(await isInjected(list, {})).toBe(true);
  });

  it('knows the label that each namespace has by itself', async () => {
    const byName = file('by-name.yaml', POLICY.replace('tier: [gold]', 'kubernetes.io/metadata.name: [shop]'));
    expect(await isInjected(`${POD}---\n${namespace('shop', '')}`, { policy: byName })).toBe(true);
  });

  it('takes --namespace-labels, over those of the Namespace', async () => {
    expect(await isInjected(POD, { namespaceLabels: { tier: 'gold' } })).toBe(true);
    const tin = `${POD}---\n${namespace('shop', 'tier: tin')}`;
    expect(await isInjected(tin, { namespaceLabels: { tier: 'gold' } })).toBe(true);
  });

  it('says how to give labels that are not known, and exits with 1', async () => {
    const { code, stdout, stderr } = await run([], { policy }, `${SERVICE}---\n${POD}`);
    expect({ code, stdout }).toEqual({ code: 1, stdout: `${SERVICE}---\n${POD}` });
    expect(stderr).toContain(
      'denied: Pod shop/web: the labels of namespace shop are not known, and policy rule gold depends on them: give them with --namespace-labels',
    );
    expect((await run([], { policy, namespaceLabels: {} }, POD)).stderr).not.toContain('--namespace-labels');
  });

  it('decides as in --namespace, which stands for the one that the object names, and for default', async () => {
    const byNamespace = file(
      'by-namespace.yaml',
      POLICY.replace('["*"]', '[edge]').replace(/ +namespaceLabels.*\n/, ''),
    );
    expect(await isInjected(POD, { policy: byNamespace })).toBe(false);
    expect(await isInjected(POD, { policy: byNamespace, namespace: 'edge' })).toBe(true);
    const unnamed = POD.replace(/ +namespace: shop\n/, '').replace('meminfo', 'bad');
    expect((await run([], {}, unnamed)).stderr).toContain('Pod default/web');
  });

  it('takes a policy from the manifest of a ConfigMap', async () => {
    const data = POLICY.replaceAll(/^/gm, '    ');
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hotmount}\ndata:\n  policy.yaml: |\n${data}`;
    expect(await isInjected(POD, { policy: file('cm.yaml', text), namespaceLabels: { tier: 'gold' } })).toBe(true);
  });

  it('takes a policy from stdin, but not together with the manifests', async () => {
    const manifest = file('pod-for-policy.yaml', POD);
    const none = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';
    expect((await run([manifest], withFlags({ policy: '-' }), none)).stdout).toBe(POD);
    expect((await run([manifest], withFlags({ policy: '-' }), none)).code).toBe(1);
    await expect(run([], { policy: '-' }, none)).rejects.toThrow('cannot both come from stdin');
  });

  it('refuses a policy that is wrong or missing', async () => {
    const wrong = file('wrong.yaml', POLICY.replace('lxcfs', 'lxcsf'));
    await expect(run([], { policy: wrong }, POD)).rejects.toMatchObject({ name: 'PolicyError' });
    const missing = join(dir, 'missing-policy.yaml');
    await expect(run([], { policy: missing }, POD)).rejects.toThrow(
      `${missing}: cannot be read: no such file or directory`,
    );
  });
});
