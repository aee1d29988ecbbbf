import { describe, expect, it } from 'vitest';
import { PolicyError, parsePolicy } from '../../../src/policy/index.ts';

const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';

/** What parsing says, `line:column: path: message` each; the text's first two lines are the header. */
function complaints(body: string, { head = HEAD } = {}): string[] {
  try {
    parsePolicy(head + body);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.issues.map(
      ({ line, column, path, message }) => `${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`,
    );
  }
  return [];
}

const rule = (lines: string) => `rules:\n  - name: a\n    namespaces: ["*"]\n${lines.replace(/^/gm, '    ')}\n`;
const media = (lines: string) => `mediaClasses:\n  - name: usb\n${lines.replace(/^/gm, '    ')}\n`;
const device = (lines: string) => `deviceClasses:\n  - name: tty\n    match: [{ subsystem: [tty] }]\n    ${lines}\n`;

/** The one thing that is wrong, and how it is said: fragments that must all be there. */
const CASES: [what: string, body: string, at: string, ...said: string[]][] = [
  ['an unknown key', 'onVoilation: deny\n', '3:1: onVoilation:', 'no such key', 'did you mean "onViolation"?'],
  ['a far unknown key', rule('zzz: 1'), '6:5: rules[0].zzz:', 'the keys here are name, namespaces'],
  ['an unknown value', 'onViolation: block\n', '3:14: onViolation:', 'expected deny or warn, found "block"'],
  ['a near value', 'onViolation: deni\n', '3:14: onViolation:', 'did you mean "deny"?'],
  ['a wrong view', 'lxcfs: { views: [meminf] }\n', '3:18: lxcfs.views[0]:', 'did you mean "meminfo"?'],
  ['no views', 'lxcfs: { views: [] }\n', '3:17: lxcfs.views:', 'is empty'],
  ['text for a list', rule('serviceAccounts: copier'), '6:22: rules[0].serviceAccounts:', 'write ["copier"]'],
  ['a number for text', rule('serviceAccounts: [1]'), '6:23: rules[0].serviceAccounts[0]:', 'put it in quotes'],
  ['a boolean for text', rule('allow: { lxcfs: true }\ndefaults: { lxcfs: true }'), '7:24:', 'in quotes, "true"'],
  ['text for a boolean', rule('enforce: "yes"'), '6:14: rules[0].enforce:', 'expected true or false, found "yes"'],
  ['a key without a value', rule('allow:'), '6:5: rules[0].allow:', 'found nothing'],
  ['a list for a mapping', 'lxcfs: []\n', '3:8: lxcfs:', 'expected a mapping', 'found an empty list'],
  ['a missing name', 'rules:\n  - namespaces: ["*"]\n', '4:5: rules[0].name:', 'is missing; expected text'],
  ['missing namespaces', 'rules:\n  - name: a\n', '4:5: rules[0].namespaces:', 'is missing; expected a list'],
  ['no namespaces', 'rules:\n  - { name: a, namespaces: [] }\n', '4:28: rules[0].namespaces:', 'is empty'],
  ['a bad rule name', 'rules:\n  - { name: "a b", namespaces: ["*"] }\n', '4:13: rules[0].name:', '"a b" cannot be'],
  ['the same rule name', `${rule('')}  - { name: a, namespaces: [x] }\n`, '7:13: rules[1].name:', 'already, rules[0]'],
  ['a vendor id for a vendor', media('match: [{ vendor: ["0bda"] }]'), '5:24:', 'write usb: ["0bda:*"]'],
  ['a vendor id in C', media('match: [{ vendor: ["0x0BDA"] }]'), '5:24:', 'write usb: ["0bda:*"]'],
  ['a product id for a model', media('match: [{ model: ["2838"] }]'), '5:23:', 'write usb: ["*:2838"]', '"2838*"'],
  ['both ids for a vendor', media('match: [{ vendor: ["!0bda:2838"] }]'), '5:24:', 'write usb: ["!0bda:2838"]'],
  ['a match of an unknown key alone', media('match: [{ fstype: [vfat] }]'), '5:15:', 'did you mean "fsType"?'],
  ['half a USB id', media('match: [{ usb: ["0bda"] }]'), '5:21:', 'is not a USB id', 'write "0bda:*"'],
  ['a USB id in C', media('match: [{ usb: ["0x0BDA:0x2838"] }]'), '5:21:', 'write "0bda:2838"'],
  ['a broken glob of USB ids', media('match: [{ usb: ["0[*:2838"] }]'), '5:21:', '"0[*:2838" has a "[" without'],
  ['a short USB id', media('match: [{ usb: ["bda:2838"] }]'), '5:21:', 'as lsusb prints it'],
  ['a word for an interface', media('match: [{ interface: [hid] }]'), '5:27:', '"hid" is not the class', '"03"'],
  [
    'a key of sysfs',
    media('match: [{ bus: [usb], idVendor: ["0bda"] }]'),
    '5:27:',
    'no such key; write usb: ["VENDOR:PRODUCT"]',
  ],
  ['a key of udev', media('match: [{ bus: [usb], ID_MODEL_ID: ["2838"] }]'), '5:27:', 'no such key; write usb:'],
  ['a port', media('match: [{ bus: [usb], ID_PATH: [x] }]'), '5:27:', 'no such key; write path:'],
  ['another key of udev', media('match: [{ bus: [usb], ID_VENDOR: [x] }]'), '5:27:', 'no such key; write vendor'],
  [
    'the same class name',
    `${media('match: [{ bus: [usb] }]')}  - { name: usb, match: [{ bus: [ata] }] }\n`,
    '6:13:',
    'already',
  ],
  ['a bad glob', rule('serviceAccounts: ["a["]'), '6:23: rules[0].serviceAccounts[0]:', '"a[" has a "[" without'],
  ['an empty glob', rule('serviceAccounts: [""]'), '6:23: rules[0].serviceAccounts[0]:', 'matches nothing'],
  ['a bad label key', rule('podLabels: { "a b": x }'), '6:18: rules[0].podLabels["a b"]:', 'Kubernetes label'],
  ['a bad label glob', rule('podLabels: { a/b: "[" }'), '6:23: rules[0].podLabels["a/b"]:', 'without its "]"'],
  ['a bad label list', rule('podLabels: { a: [x, "["] }'), '6:25: rules[0].podLabels.a[1]:', 'without its "]"'],
  [
    'a label number',
    rule('podLabels: { a: 1 }'),
    '6:21: rules[0].podLabels.a:',
    'a glob or a list of globs',
    'number 1',
  ],
  [
    'a class that is not there',
    `${media('match: [{ bus: [usb] }]')}${rule('allow: { media: [usbb] }')}`,
    '9:22: rules[0].allow.media[0]:',
    'there is no media class "usbb"; did you mean "usb"?',
  ],
  ['a far class', `${media('match: [{ bus: [usb] }]')}${rule('allow: { media: [nvme] }')}`, '9:22:', 'there is usb'],
  [
    'a class of none',
    rule('allow: { devices: [serial] }'),
    '6:24: rules[0].allow.devices[0]:',
    'the policy defines none',
  ],
  [
    'a bad class name',
    'mediaClasses:\n  - { name: USB, match: [{ bus: [usb] }] }\n',
    '4:13: mediaClasses[0].name:',
    'DNS label',
  ],
  [
    'the class name true',
    'mediaClasses:\n  - { name: "true", match: [{ bus: [usb] }] }\n',
    '4:13:',
    'not "true" or "false"',
  ],
  ['a class without a match', 'mediaClasses:\n  - name: usb\n', '4:5: mediaClasses[0].match:', 'is missing'],
  ['an empty match', media('match: [{}]'), '5:13: mediaClasses[0].match[0]:', 'every device', 'devname: ["*"]'],
  [
    'an unknown file system',
    media('match: [{ fsType: [ext5] }]'),
    '5:24:',
    '"ext5" is not a file system',
    'did you mean "ext',
  ],
  [
    'a bad size',
    media('match: [{ minSize: 64MB }]'),
    '5:24: mediaClasses[0].match[0].minSize:',
    '"64MB" is not a size',
    '"64Mi"',
  ],
  ['a negative size', media('match: [{ minSize: -1 }]'), '5:24:', 'expected at least 0, found the number -1'],
  ['a size beyond counting', media('match: [{ minSize: 999999P }]'), '5:24:', 'is not a size'],
  [
    'sizes the wrong way round',
    media('match: [{ minSize: 2Gi, maxSize: 64Mi }]'),
    '5:24: mediaClasses[0].match[0].minSize:',
    '2Gi is more than maxSize, 64Mi',
  ],
  [
    'sizes of a device the wrong way round',
    'deviceClasses:\n  - name: raw\n    match: [{ minSize: 2Gi, maxSize: 64Mi }]\n',
    '5:24: deviceClasses[0].match[0].minSize:',
    '2Gi is more than maxSize, 64Mi',
  ],
  [
    'the option suid',
    media('match: [{ bus: [usb] }]\nmount: { options: [suid] }'),
    '6:24: mediaClasses[0].mount.options[0]:',
    'never allowed',
  ],
  ['the option dev', media('match: [{ bus: [usb] }]\nmount: { options: [dev] }'), '6:24:', 'never allowed'],
  ['the option user=', media('match: [{ bus: [usb] }]\nmount: { options: [user=joe] }'), '6:24:', 'never allowed'],
  [
    'an option in place of readOnly',
    media('match: [{ bus: [usb] }]\nmount: { options: [ro] }'),
    '6:24:',
    'readOnly: true',
  ],
  ['a near option', media('match: [{ bus: [usb] }]\nmount: { options: [noexe] }'), '6:24:', 'did you mean "noexec"?'],
  [
    'an option of other file systems',
    media('match: [{ fsType: [ext4] }]\nmount: { options: [umask=022] }'),
    '6:24:',
    'an option of vfat, exfat',
    'matches ext4 only',
  ],
  [
    'an option with a bad value',
    media('match: [{ fsType: [vfat] }]\nmount: { options: [uid=joe] }'),
    '6:24:',
    'takes a number',
  ],
  [
    'several options in one',
    media('match: [{ bus: [usb] }]\nmount: { options: ["noexec,sync"] }'),
    '6:24:',
    'write [noexec, sync]',
  ],
  ['a mode that is not octal', device('mode: "0888"'), '6:11: deviceClasses[0].mode:', 'in octal'],
  ['a mode with more than permissions', device('mode: "4755"'), '6:11: deviceClasses[0].mode:', 'permission bits'],
  ['a mode without quotes', device('mode: 0666'), '6:11: deviceClasses[0].mode:', 'put it in quotes'],
  ['an access that is none', device('access: wr'), '6:13: deviceClasses[0].access:', 'expected r, w or rw, found "wr"'],
  ['a negative uid', device('uid: -1'), '6:10: deviceClasses[0].uid:', 'expected at least 0'],
  ['a fractional uid', device('uid: 1.5'), '6:10: deviceClasses[0].uid:', 'expected a whole number'],
  [
    'a capability that is none',
    rule('allow: { capabilities: [CAP_NET_ADMN] }'),
    '6:29: rules[0].allow.capabilities[0]:',
    'did you mean "NET_ADMIN"?',
  ],
  [
    'Bidirectionl',
    rule('allow: { propagation: [Bidirectionl] }'),
    '6:28: rules[0].allow.propagation[0]:',
    'did you mean "Bidirectional"?',
  ],
  ['a dev path over /proc', rule('allow: { dev: [/proc/x] }'), '6:20: rules[0].allow.dev[0]:', 'would cover /proc'],
  ['a dev path over /dev', rule('allow: { dev: [/dev/] }'), '6:20: rules[0].allow.dev[0]:', 'would cover /dev'],
  ['a dev path over the run dir', rule('allow: { dev: [/run/hotmount] }'), '6:20:', 'would cover /run/hotmount'],
  ['a relative dev path', rule('allow: { dev: [dev] }'), '6:20: rules[0].allow.dev[0]:', 'absolute path'],
  ['a relative dev glob', rule('allow: { dev: ["dev*"] }'), '6:20: rules[0].allow.dev[0]:', 'begins with "/"'],
  [
    'a default that does not parse',
    rule('allow: { lxcfs: true }\ndefaults: { lxcfs: memory }'),
    '7:24: rules[0].defaults.lxcfs:',
    '"memory"',
  ],
  [
    'a default of no feature',
    rule('defaults: { lxfs: "true" }'),
    '6:17: rules[0].defaults.lxfs:',
    'did you mean "lxcfs"?',
  ],
  [
    'a default that its rule does not allow',
    rule('defaults: { dev: "true" }'),
    '6:22: rules[0].defaults.dev:',
    'allow: {dev: [/host-dev]}',
  ],
  ['a key given twice', `${rule('enforce: true\nenforce: false')}`, '7:5:', 'the key "enforce" is given twice'],
  ['a text that is not UTF-8', media('match: [{ label: ["M\uFFFDnage"] }]'), '5:23:', 'not UTF-8: convert the file'],
  ['a mode in the octal of YAML', device('mode: 0o666'), '6:11:', 'found the number 438: put it in quotes'],
  ['a key that is not text', rule('podLabels: { 1: x }'), '6:18:', 'expected text as the key: put it in quotes'],
  ['the key __proto__', rule('podLabels: { __proto__: x }'), '6:18:', '"__proto__" cannot be a key'],
  ['an alias of nothing', rule('allow: *nothing'), '6:12:', 'the alias "nothing" has no anchor', 'in quotes'],
  [
    'a * without quotes',
    'rules:\n  - { name: a, namespaces: [*] }\n',
    '4:29:',
    'text that begins with * has to be in quotes',
  ],
  ['a tag', rule('allow: !secret { lxcfs: true }'), '6:12:', 'is not YAML', '!secret'],
  ['a second document', '---\na: 1\n', '3:1:', 'a second document'],
  ['a bracket that is not closed', 'rules: [\n', '4:1:', 'is not YAML'],
  ['a tab as indentation', 'lxcfs:\n\tviews: [meminfo]\n', '4:1:', 'is not YAML'],
];

describe('an error of the policy tells where it is, what was found and what is allowed', () => {
  it.each(CASES)('%s', (_, body, at, ...said) => {
    const found = complaints(body);
    expect(found).toHaveLength(1);
    for (const fragment of [at, ...said]) expect(found[0]).toContain(fragment);
    expect(found[0]).toMatch(new RegExp(`^${at.split(':').slice(0, 2).join(':')}: `));
  });

  it('for a text that is no policy at all', () => {
    expect(complaints('', { head: '' })).toEqual(['1:1: is empty; expected a policy']);
    expect(complaints('\uFEFFfoo: 1\n', { head: '' }).at(-1)).toMatch(/^1:1: foo: /);
    expect(complaints('- a', { head: '' })).toEqual(['1:1: expected a policy: a mapping of keys to values']);
    expect(complaints('a: 1', { head: '' })[0]).toBe('1:1: apiVersion: is missing; expected hotmount.io/v1alpha1');
    expect(complaints('kind: Policy', { head: 'apiVersion: hotmount.io/v1\n' })[0]).toBe(
      '1:13: apiVersion: expected hotmount.io/v1alpha1, found "hotmount.io/v1"',
    );
  });
});

describe('all errors come at once', () => {
  const body = [
    'onViolation: block',
    'mediaClasses:',
    '  - { name: usb, match: [{ bsu: [usb], minSize: huge }], mount: { options: [suid] } }',
    'rules:',
    '  - name: a',
    '    namespaces: [1]',
    '    alow: {}',
    '    allow: { media: [sub], capabilities: [SYS_ADMINN] }',
    '    defaults: { lxcfs: meminf }',
    '  - { name: a, namespaces: ["*"], defaults: { media: usb } }',
    '',
  ].join('\n');

  it('in the order of the text, each with its own position', () => {
    expect(complaints(body).map((complaint) => complaint.split(': ').slice(0, 2).join(' '))).toEqual([
      '3:14 onViolation',
      '5:28 mediaClasses[0].match[0].bsu',
      '5:49 mediaClasses[0].match[0].minSize',
      '5:77 mediaClasses[0].mount.options[0]',
      '8:18 rules[0].namespaces[0]',
      '9:5 rules[0].alow',
      '10:22 rules[0].allow.media[0]',
      '10:43 rules[0].allow.capabilities[0]',
      '11:24 rules[0].defaults.lxcfs',
      '12:13 rules[1].name',
      '12:54 rules[1].defaults.media',
    ]);
  });

  it('as a message of a line each that begins with the file', () => {
    const message = messageOf(() => parsePolicy(HEAD + body, { file: 'etc/policy.yaml' }));
    const lines = message.split('\n');
    expect(lines).toHaveLength(11);
    expect(lines[6]).toBe(
      'etc/policy.yaml:10:22: rules[0].allow.media[0]: there is no media class "sub"; there is usb',
    );
  });

  it('up to a number that a person can read', () => {
    const many = `${HEAD}lxcfs: { views: [${'x, '.repeat(500)}] }`;
    expect(complaints('', { head: many })).toHaveLength(500);
    expect(messageOf(() => parsePolicy(many)).split('\n')).toHaveLength(51);
    expect(messageOf(() => parsePolicy(many))).toMatch(/\n… and 450 more$/);
  });
});

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('expected it to throw');
}

describe('an error in what an alias stands for', () => {
  it('is told where the text stands', () => {
    const body = 'rules:\n  - { name: a, namespaces: &n ["["] }\n  - { name: b, namespaces: *n }\n';
    expect(complaints(body).map((line) => line.slice(0, 30))).toEqual([
      '4:32: rules[0].namespaces[0]: ',
      '4:32: rules[1].namespaces[0]: ',
    ]);
  });
});

describe('hostile text ends in a PolicyError', () => {
  const MEGABYTE = 2 ** 20;
  const full = (unit: string) => unit.repeat(Math.floor(MEGABYTE / unit.length));
  const bomb = [
    'a: &a [x, x]',
    ...[...'bcdefghijklmnopqrstuvwxyz'].map(
      (c, i) => `${c}: &${c} [${`*${'abcdefghijklmnopqrstuvwxyz'[i]}, `.repeat(9)}]`,
    ),
  ].join('\n');
  it.each([
    ['too long', `${full('x')}x`, 'characters long'],
    ['brackets', full('['), 'values'],
    ['some brackets', '['.repeat(20_000), 'deep'],
    ['some braces', '{'.repeat(20_000), 'deep'],
    ['nested dashes', '- '.repeat(20_000), 'deep'],
    ['nested question marks', '? '.repeat(20_000), 'deep'],
    ['nested mappings', Array.from({ length: 900 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'deep'],
    ['an alias bomb', bomb, 'its aliases'],
    ['an alias of itself', `${HEAD}rules: &a [*a]`, 'deep'],
    ['a mapping in itself', `${HEAD}rules: [&a { name: x, allow: *a }]`, 'deep'],
    ['many keys', Array.from({ length: 60_000 }, (_, i) => `k${i}: 1`).join('\n'), 'values'],
    ['many items', `${HEAD}rules: [${'a, '.repeat(30_000)}]`, 'values'],
    ['many documents', full('---\n'), 'values'],
    ['control characters', full('\u0000'), 'policy'],
    ['lone surrogates', '\ud800: \udfff', 'no such key'],
    ['nested text in a ConfigMap', `kind: ConfigMap\ndata:\n  policy.yaml: |\n    ${'['.repeat(20_000)}`, 'deep'],
  ])('%s', (_, text, said) => {
    const found = complaints('', { head: text });
    expect(found.length).toBeGreaterThan(0);
    expect(found.join('\n')).toContain(said);
  });

  it('with nothing in the message that a terminal would obey', () => {
    const text = `${HEAD}x: !\u001b[31m y\n"\u001b[2J": *\u001b[0m\n`;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(complaints('', { head: text }).join('\n')).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
    expect(complaints('', { head: text }).length).toBeGreaterThan(0);
  });
});
