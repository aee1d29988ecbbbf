import { describe, expect, it } from 'vitest';
import { lint, parsePolicy } from '../../../src/policy/index.ts';

const HEAD = 'apiVersion: hotmount.io/v1alpha1\nkind: Policy\n';
const warnings = (body: string) => lint(parsePolicy(HEAD + body));
const rules = (...items: string[]) => warnings(`rules:\n${items.map((item) => `  - { ${item} }\n`).join('')}`);

describe('what is valid and hardly meant is told', () => {
  it.each([
    ['a rule that excludes what it names', ['name: a, namespaces: [x, "!x"], allow: { lxcfs: true }'], 'never applies'],
    ['a rule that excludes everything', ['name: a, namespaces: ["x*", "!*"], allow: { lxcfs: true }'], 'never applies'],
    [
      'a rule that excludes its own glob',
      ['name: a, namespaces: ["x*", "!x*"], allow: { lxcfs: true }'],
      'never applies',
    ],
    ['a rule that does nothing', ['name: a, namespaces: [x]'], 'allows nothing and sets no default'],
    [
      'enforce without defaults',
      ['name: a, namespaces: [x], allow: { lxcfs: true }, enforce: true'],
      'without defaults',
    ],
    [
      'privileged for all',
      ['name: a, namespaces: ["*"], allow: { privileged: true }'],
      'privileged, which is root on the node',
    ],
    [
      'privileged for nearly all',
      ['name: a, namespaces: ["*", "!x"], allow: { privileged: true }'],
      'root on the node, in all namespaces but a few',
    ],
    [
      'a rule that does nothing, once',
      ['name: a, namespaces: ["*"], allow: { lxcfs: true }', 'name: b, namespaces: [x]'],
      'rule "b": it allows nothing and sets no default',
    ],
    ['ALL for all', ['name: a, namespaces: ["x", "*"], allow: { capabilities: [ALL] }'], 'ALL, which is root'],
    [
      'power by pod labels',
      ['name: a, namespaces: [x], podLabels: { a: b }, allow: { privileged: true }'],
      'no boundary',
    ],
    [
      'a rule that adds nothing',
      ['name: a, namespaces: ["*"], allow: { lxcfs: true }', 'name: b, namespaces: [x], allow: { lxcfs: true }'],
      'rule "b": it allows nothing that rule "a" does not',
    ],
    [
      'a default that comes too late',
      [
        'name: a, namespaces: ["*"], allow: { lxcfs: true }, defaults: { lxcfs: "true" }',
        'name: b, namespaces: [x], allow: { lxcfs: true, dev: [/x] }, defaults: { lxcfs: cpu }',
      ],
      'never used: rule "a" sets it first',
    ],
  ])('%s', (_, items, said) => {
    expect(rules(...items)).toEqual([expect.stringContaining(said)]);
  });

  it.each([
    ['namespaces: [Prod]', 'no namespace matches "Prod": names have a-z, 0-9 and "-" only; write "prod"'],
    [
      'namespaces: ["*", "!Kube-*"]',
      'no namespace matches "!Kube-*": names have a-z, 0-9 and "-" only; write "!kube-*"',
    ],
    ['namespaces: ["prod/*"]', 'no namespace matches "prod/*": names have a-z, 0-9 and "-" only'],
    ['namespaces: ["a_[A-Z]"]', 'no namespace matches "a_[A-Z]": names have a-z, 0-9 and "-" only'],
    ['namespaces: ["edge-[0-9]?", "!kube-*", "a\\\\b"]', undefined],
    [
      'namespaces: [x], serviceAccounts: ["system:serviceaccount:x:copier"]',
      'no service account matches "system:serviceaccount:x:copier": names have a-z, 0-9, "-" and "." only; write "copier", and its namespace under namespaces',
    ],
    [
      'namespaces: [x], serviceAccounts: ["x/copier"]',
      'no service account matches "x/copier": names have a-z, 0-9, "-" and "." only; write "copier", and its namespace under namespaces',
    ],
    ['namespaces: [x], serviceAccounts: ["ci.bot", "*"]', undefined],
    [
      'namespaces: [x], runtimeClasses: [Kata]',
      'no runtime class matches "Kata": names have a-z, 0-9, "-" and "." only; write "kata"',
    ],
    ['namespaces: [x], runtimeClasses: ["kata-*", "!gvisor"]', undefined],
  ])('names that no object can have: %s', (condition, message) => {
    const said = message === undefined ? [] : [`rule "a": ${message}`];
    expect(rules(`name: a, ${condition}, allow: { lxcfs: true }`)).toEqual(said);
  });

  it('a class that no rule allows', () => {
    expect(warnings('deviceClasses: [{ name: tty, match: [{ subsystem: [tty] }] }]')).toEqual([
      'device class "tty": no rule allows it',
    ]);
  });

  it.each([
    ['subsystem: [serial]', 'no device has the subsystem "serial"; write "tty"'],
    ['subsystem: [constructor]', undefined],
    ['subsystem: [inptu]', 'the subsystem "inptu" is not one that is known; did you mean "input"?'],
    ['subsystem: [watchdog, "ser*", "!serial"]', undefined],
    [
      'devname: ["/dev/ttyUSB*"]',
      'the devname "/dev/ttyUSB*" matches nothing: names of devices go without /dev/; write "ttyUSB*"',
    ],
    ['devname: ["/sys/x"]', 'the devname "/sys/x" matches nothing: names of devices go without /dev/'],
    [
      'devname: ["/dev/serial/by-id/usb-FTDI*"]',
      'the devname "/dev/serial/by-id/usb-FTDI*" is a link of udev\'s, and devname is the kernel\'s name; match what the link is named after, such as label, usb, serial or path',
    ],
    [
      'devname: ["disk/by-label/X"]',
      'the devname "disk/by-label/X" is a link of udev\'s, and devname is the kernel\'s name; match what the link is named after, such as label, usb, serial or path',
    ],
    ['devname: ["bus/usb/*"]', undefined],
    [
      'path: ["1-1.3:1.0"]',
      'the path "1-1.3:1.0" is the kernel\'s name of a port, and path is udev\'s; write "*-usb-0:1.3"',
    ],
    ['path: ["pci-0000:00:14.0-usb-0:1.3", "*-usb-0:1"]', undefined],
  ])('names of devices that no device has: %s', (match, message) => {
    const policy = `deviceClasses: [{ name: own, match: [{ ${match} }] }]\nrules: [{ name: a, namespaces: [x], allow: { devices: [own] } }]`;
    expect(warnings(policy)).toEqual(message === undefined ? [] : [`device class "own": ${message}`]);
  });

  it('a bus that is nearly one, and an option that some of the named file systems do not have', () => {
    const body = (match: string) => `mediaClasses: [{ name: usb, match: [${match}], mount: { options: [uid=1000] } }]
rules: [{ name: a, namespaces: [x], allow: { media: [usb] } }]`;
    expect(warnings(body('{ bus: [ubs, fancy], fsType: [ext4, vfat] }'))).toEqual([
      'media class "usb": the mount option "uid=1000" does nothing for ext4',
    ]);
    expect(warnings(body('{ bus: [uzb, fancy] }'))).toEqual([
      'media class "usb": the bus "uzb" is not one that is known; did you mean "usb"?',
    ]);
    expect(warnings(body('{ fsType: [vfat] }'))).toEqual([]);
    const device = 'deviceClasses: [{ name: raw, match: [{ bus: [uzb, fancy] }] }]';
    expect(warnings(`${device}\nrules: [{ name: a, namespaces: [x], allow: { devices: [raw] } }]`)).toEqual([
      'device class "raw": the bus "uzb" is not one that is known; did you mean "usb"?',
    ]);
  });
});

describe('what is meant is not', () => {
  it.each([
    [
      'a rule after one for some pods, one for some accounts and one for some namespaces',
      [
        'name: a, namespaces: ["*"], podLabels: { a: b }, allow: { lxcfs: true }',
        'name: b, namespaces: ["*"], serviceAccounts: [x], allow: { lxcfs: true }',
        'name: c, namespaces: ["*"], namespaceLabels: { a: b }, allow: { lxcfs: true }',
        'name: d, namespaces: ["*"], allow: { lxcfs: true }',
      ],
    ],
    [
      'an enforced default after one that is not',
      [
        'name: a, namespaces: ["*"], allow: { lxcfs: true }, defaults: { lxcfs: "true" }',
        'name: b, namespaces: [x], allow: { lxcfs: true }, defaults: { lxcfs: cpu }, enforce: true',
      ],
    ],
    [
      'privileged where the admin says who',
      ['name: a, namespaces: ["*", "!kube-*"], serviceAccounts: [x], allow: { privileged: true }'],
    ],
    [
      'a rule that adds to an earlier one',
      [
        'name: a, namespaces: ["*"], allow: { lxcfs: true }',
        'name: b, namespaces: [x], allow: { lxcfs: true, dev: [/x] }',
      ],
    ],
    [
      'a rule after a narrower one',
      ['name: a, namespaces: [x], allow: { lxcfs: true }', 'name: b, namespaces: ["*"], allow: { lxcfs: true }'],
    ],
    [
      'a default after one for others',
      [
        'name: a, namespaces: [x], allow: { lxcfs: true }, defaults: { lxcfs: cpu }',
        'name: b, namespaces: [y], allow: { lxcfs: true }, defaults: { lxcfs: "true" }',
      ],
    ],
    ['an enforced opt-out', ['name: a, namespaces: [x], defaults: { lxcfs: "false" }, enforce: true']],
  ])('%s', (_, items) => {
    expect(rules(...items)).toEqual([]);
  });
});
