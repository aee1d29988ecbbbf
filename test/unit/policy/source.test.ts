import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openPolicyFile, type Policy, PolicyError, type PolicySource } from '../../../src/policy/index.ts';

const policyText = (rule: string) =>
  `apiVersion: hotmount.io/v1alpha1\nkind: Policy\nrules: [{ name: ${rule}, namespaces: [x] }]\n`;
const BROKEN = `${policyText('x')}foo: 1\n`;
const ruleOf = (policy: Policy) => policy.rules[0]?.name;

let directory: string;
let opened: PolicySource[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hotmount-policy-'));
  opened = [];
});
afterEach(() => {
  for (const source of opened) source.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A source with what it reported, in order: the rule of a new policy, or the error's message. */
function open(path: string) {
  const events: string[] = [];
  const source = openPolicyFile(path, {
    onChange: (policy) => events.push(`in force: ${ruleOf(policy)}`),
    onError: (error) => events.push(`error: ${error.message}`),
  });
  opened.push(source);
  return { source, events, rule: () => ruleOf(source.current()) };
}

const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 10 });
/** Longer than a change may take to be read: what has not been reported by then will not be. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 800));

describe('a policy file', () => {
  it('is read at once, and again when it is written in place', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { rule, events } = open(path);
    expect(rule()).toBe('one');
    writeFileSync(path, policyText('two'));
    await until(() => expect(events).toEqual(['in force: two']));
    expect(rule()).toBe('two');
  });

  it('is read again when an editor renames another over it, time after time', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('r0'));
    const { rule } = open(path);
    for (const next of ['r1', 'r2', 'r3']) {
      writeFileSync(`${path}.new`, policyText(next));
      renameSync(`${path}.new`, path);
      await until(() => expect(rule()).toBe(next));
    }
  });

  it('may be gone for a moment without a word', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { events } = open(path);
    unlinkSync(path);
    writeFileSync(path, policyText('two'));
    await until(() => expect(events).toEqual(['in force: two']));
  });

  it('that is gone is reported, the last one stays in force, and its return is seen', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { rule, events } = open(path);
    unlinkSync(path);
    await until(() => expect(events).toEqual([`error: ${path}: cannot be read: no such file or directory (ENOENT)`]));
    expect(rule()).toBe('one');
    writeFileSync(path, policyText('one'));
    await until(() => expect(events).toHaveLength(2));
    expect(events[1]).toBe('in force: one');
  });

  it('that is broken is reported once, the last good one stays in force, and the repair is seen', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { rule, events } = open(path);
    writeFileSync(path, BROKEN);
    await until(() => expect(events).toEqual([expect.stringContaining(`${path}:4:1: foo: there is no such key`)]));
    writeFileSync(path, BROKEN);
    await settle();
    expect([rule(), events.length]).toEqual(['one', 1]);
    writeFileSync(path, policyText('two'));
    await until(() => expect(rule()).toBe('two'));
  });

  it('whose directory is removed and made anew is found again', async () => {
    const inner = join(directory, 'a', 'b');
    const path = join(inner, 'policy.yaml');
    mkdirSync(inner, { recursive: true });
    writeFileSync(path, policyText('one'));
    const { rule, events } = open(path);
    rmSync(join(directory, 'a'), { recursive: true });
    await until(() => expect(events).toHaveLength(1));
    mkdirSync(inner, { recursive: true });
    await settle();
    writeFileSync(path, policyText('two'));
    await until(() => expect(rule()).toBe('two'));
  });

  it('whose directory is moved away, and another moved there, is the one that is there', async () => {
    const [place, next] = [join(directory, 'place'), join(directory, 'next')];
    for (const [dir, rule] of [
      [place, 'one'],
      [next, 'two'],
    ] as const) {
      mkdirSync(dir);
      writeFileSync(join(dir, 'policy.yaml'), policyText(rule));
    }
    const { rule } = open(join(place, 'policy.yaml'));
    renameSync(place, join(directory, 'gone'));
    renameSync(next, place);
    await until(() => expect(rule()).toBe('two'));
  });

  it('behind links of file and directory is seen through each of them', async () => {
    const [real, other] = [join(directory, 'real'), join(directory, 'other')];
    for (const [place, rule] of [
      [real, 'real'],
      [other, 'other'],
    ] as const) {
      mkdirSync(place);
      writeFileSync(join(place, 'p.yaml'), policyText(rule));
    }
    symlinkSync('real', join(directory, 'dir'));
    const path = join(directory, 'policy.yaml');
    symlinkSync('dir/p.yaml', path);
    const { rule } = open(path);
    writeFileSync(join(real, 'p.yaml'), policyText('in-place'));
    await until(() => expect(rule()).toBe('in-place'));
    symlinkSync(other, join(directory, 'dir.new'));
    renameSync(join(directory, 'dir.new'), join(directory, 'dir'));
    await until(() => expect(rule()).toBe('other'));
    writeFileSync(join(other, 'p.yaml'), policyText('in-place-too'));
    await until(() => expect(rule()).toBe('in-place-too'));
    writeFileSync(join(directory, 'plain'), policyText('plain'));
    renameSync(join(directory, 'plain'), path);
    await until(() => expect(rule()).toBe('plain'));
  });

  it('is left alone while others in its directory change', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { events } = open(path);
    for (let i = 0; i < 50; i++) writeFileSync(join(directory, `other-${i}`), 'x');
    linkSync(path, join(directory, 'hard'));
    await settle();
    expect(events).toEqual([]);
  });

  it('is read while events never stop', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const { rule } = open(path);
    let busy: NodeJS.Immediate;
    const write = () => {
      writeFileSync(path, policyText('busy'));
      busy = setImmediate(write);
    };
    write();
    await until(() => expect(rule()).toBe('busy')).finally(() => clearImmediate(busy));
  });
});

describe('a ConfigMap volume', () => {
  /** As the kubelet does it (pkg/volume/util/atomic_writer.go): a new directory, then one rename of the link to it. */
  function update(rule: string, text = policyText(rule)): void {
    const stamped = `..2026_${rule}`;
    mkdirSync(join(directory, stamped));
    writeFileSync(join(directory, stamped, 'policy.yaml'), text);
    const old = readdirSync(directory).filter((name) => name.startsWith('..2026_') && name !== stamped);
    symlinkSync(stamped, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
    for (const name of old) rmSync(join(directory, name), { recursive: true });
  }

  it('brings a new policy by the swap of ..data, each time once', async () => {
    update('v1');
    symlinkSync('..data/policy.yaml', join(directory, 'policy.yaml'));
    const { rule, events } = open(join(directory, 'policy.yaml'));
    for (const version of ['v2', 'v3', 'v4', 'v5']) {
      update(version);
      await until(() => expect(rule()).toBe(version));
    }
    update('broken', BROKEN);
    await until(() => expect(events).toHaveLength(5));
    expect(rule()).toBe('v5');
    update('v6');
    await until(() => expect(rule()).toBe('v6'));
    expect(events.filter((event) => event.startsWith('in force'))).toEqual(
      ['v2', 'v3', 'v4', 'v5', 'v6'].map((version) => `in force: ${version}`),
    );
  });
});

describe('opening', () => {
  it.each([
    ['a file that is not there', () => join(directory, 'none'), 'no such file or directory'],
    ['a directory', () => directory, 'is not a regular file'],
    ['links in a circle', () => circle(), 'links lead in a circle'],
    ['a broken policy', () => written(BROKEN), '4:1: foo:'],
    ['a device', () => '/dev/zero', 'is not a regular file'],
    ['a huge file', () => written('x'.repeat(5_000_000)), 'bytes'],
  ])('%s is a PolicyError that names it', (_, place, said) => {
    const path = place();
    const attempt = () => open(path);
    expect(attempt).toThrow(PolicyError);
    expect(attempt).toThrow(said);
    expect(attempt).toThrow(path);
  });

  const written = (text: string) => {
    writeFileSync(join(directory, 'policy.yaml'), text);
    return join(directory, 'policy.yaml');
  };
  const circle = () => {
    symlinkSync('b', join(directory, 'a'));
    symlinkSync('a', join(directory, 'b'));
    return join(directory, 'a');
  };
});

describe('closing', () => {
  /** What the kernel watches for this process (proc(5), fdinfo); nothing to count where there is no /proc. */
  function watches(): number {
    if (!existsSync('/proc/self/fdinfo')) return 0;
    const infos = readdirSync('/proc/self/fdinfo').map((fd) => {
      try {
        return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      } catch {
        return ''; // the descriptor of the directory listing itself
      }
    });
    return infos.join('\n').split('\ninotify wd:').length - 1;
  }

  it('is the end of callbacks, and of the watches', async () => {
    const path = join(directory, 'policy.yaml');
    writeFileSync(path, policyText('one'));
    const before = watches();
    const { source, events } = open(path);
    expect(existsSync('/proc') ? watches() > before : true).toBe(true);
    writeFileSync(path, policyText('two'));
    await until(() => expect(events).toHaveLength(1));
    writeFileSync(path, policyText('three'));
    source.close();
    source.close();
    await settle();
    expect([events.length, ruleOf(source.current())]).toEqual([1, 'two']);
    expect(watches()).toBe(before);
  });
});
