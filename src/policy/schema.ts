import * as z from 'zod';
import type { Feature } from '../contract/annotations.ts';
import { ALL_CAPABILITIES, CAPABILITIES, isCapability, normalizeCapability } from '../contract/capabilities.ts';
import { normalizePath, pathProblem } from '../contract/paths.ts';
import { didYouMean, quote } from '../contract/suggest.ts';
import { LXCFS_VIEW_NAMES, PROPAGATION_MODES, parseValue, UEVENT_ACCESS } from '../contract/wants.ts';
import { deviceClass, mediaClass } from './class-schemas.ts';
import { globProblem, literalOf } from './globs.ts';
import type { Policy } from './policy.ts';
import { glob, globs, someOf, text } from './schema-parts.ts';

/**
 * The shape of the policy, key by key. What one value tells is checked here, what takes two (a rule that names a class) in
 * cross-checks.ts. The input side is fit for JSON Schema (the chart's values.schema.json): transforms only at the end of a pipe,
 * patterns without look-around, since Helm's validator knows RE2 alone.
 */

const RULE_NAME = /^[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const ruleName = text((value) =>
  RULE_NAME.test(value)
    ? undefined
    : 'cannot be the name of a rule: at most 63 letters, digits, "-", "_" and ".", with a letter or digit at each end',
)
  .meta({ pattern: RULE_NAME.source })
  .describe('Named in messages and in the pods that have something by this rule.');

const capability = text((value) => {
  const name = normalizeCapability(value);
  return isCapability(name)
    ? undefined
    : `is not a capability of Linux${didYouMean(name, [...CAPABILITIES, ALL_CAPABILITIES])}`;
}).transform(normalizeCapability);

const aliasPath = text((value) => {
  if (value === '') return 'is empty and matches nothing';
  const problem = globProblem(value);
  if (problem !== undefined) return problem;
  const literal = literalOf(value);
  if (literal !== undefined) return pathProblem(literal);
  return /^!?[/*?[]/.test(value) ? undefined : 'can match no path: one begins with "/"';
}).transform((value) => {
  const literal = literalOf(value);
  return literal === undefined || literal !== value ? value : normalizePath(value);
});

/** What a rule allows; cross-checks.ts reads it by itself, to judge the rule's defaults. */
export const allowSchema = z
  .strictObject({
    lxcfs: z.boolean().default(false),
    media: z.array(z.string()).default([]).describe('Names of media classes.'),
    devices: z.array(z.string()).default([]).describe('Names of device classes.'),
    dev: z.array(aliasPath).default([]).describe('Globs of the paths at which /dev of the node may appear.'),
    propagation: z.array(z.enum(PROPAGATION_MODES)).default([]),
    capabilities: z.array(capability).default([]).describe('With or without CAP_; ALL allows every one.'),
    uevents: z.array(z.enum(UEVENT_ACCESS)).default([]).describe('udev and udevd allow what they take, too.'),
    privileged: z.boolean().default(false),
    live: z
      .boolean()
      .default(false)
      .describe(
        'A directory in which the classes that the rule allows come and go with the annotations of running pods.',
      ),
  })
  .prefault({});

const labelGlob = text((value) => (value === '' ? undefined : globProblem(value)));
const LABEL_KEY =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const labelGlobs = z
  .record(
    text((key) => (LABEL_KEY.test(key) ? undefined : 'is not the key of a Kubernetes label')),
    z
      .union([labelGlob, someOf(labelGlob)], { error: 'expected a glob or a list of globs' })
      .transform((value) => (typeof value === 'string' ? [value] : value)),
  )
  .optional();

const defaultValue = (feature: Feature) =>
  z
    .string()
    .superRefine((value, context) => {
      const parsed = parseValue(feature, value);
      if ('problem' in parsed) context.addIssue({ code: 'custom', message: `${quote(value)}: ${parsed.problem}` });
    })
    .exactOptional();

const rule = z.strictObject({
  name: ruleName,
  namespaces: someOf(glob).describe('Globs; "!" excludes; ["*"] is all.'),
  namespaceLabels: labelGlobs.describe('The namespace has all of these labels, each with a value that a glob matches.'),
  serviceAccounts: globs('service accounts'),
  podLabels: labelGlobs.describe('As namespaceLabels. Users choose these: a convenience, not a boundary.'),
  runtimeClasses: globs('the runtimeClassName of pods; of one that has none, it is empty'),
  allow: allowSchema,
  defaults: z
    .strictObject({
      privileged: defaultValue('privileged'),
      capabilities: defaultValue('capabilities'),
      uevents: defaultValue('uevents'),
      lxcfs: defaultValue('lxcfs'),
      dev: defaultValue('dev'),
      media: defaultValue('media'),
      devices: defaultValue('devices'),
      live: defaultValue('live'),
      propagation: defaultValue('propagation'),
    })
    .default({})
    .describe('Values as if annotated; the first matching rule that sets one gives it.'),
  enforce: z.boolean().default(false).describe('The defaults win over what the pod says.'),
});

export const API_VERSION = 'hotmount.io/v1alpha1';

export const policySchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Policy'),
  onViolation: z.enum(['deny', 'warn']).default('deny').describe('deny: reject the pod. warn: admit it without.'),
  onConflict: z
    .enum(['deny', 'keep'])
    .default('deny')
    .describe(
      "Of a mount of the pod's own where hotmount would put one. deny: reject the pod. keep: it stays, with a warning.",
    ),
  scheduleBy: z
    .enum(['label', 'resource'])
    .default('label')
    .describe('What hotmount.io/schedule adds. label: a node affinity. resource: a request of hotmount.io/<class>.'),
  lxcfs: z
    .strictObject({
      views: someOf(z.enum(LXCFS_VIEW_NAMES as [(typeof LXCFS_VIEW_NAMES)[number]]))
        .default(['cpuinfo', 'meminfo', 'stat', 'loadavg', 'swaps', 'diskstats', 'cpu'])
        .describe('What lxcfs: "true" means.'),
      onUntrue: z
        .enum(['keep', 'node'])
        .default('keep')
        .describe(
          'What pods get in place of a view that tells the node’s values: lxcfs’s file all the same, or the node’s.',
        ),
    })
    .prefault({}),
  mediaClasses: z.array(mediaClass).default([]),
  deviceClasses: z.array(deviceClass).default([]),
  rules: z.array(rule).default([]),
});

/** The policy as it is written; `Policy` is what becomes of it. */
export type PolicyInput = z.input<typeof policySchema>;

/** Fails to compile where the schema and the types that the rest of the program uses have come apart. */
type Assignable<From extends To, To> = From;
export type ParsedPolicy = Assignable<z.output<typeof policySchema>, Policy>;
