import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AdmissionDecision } from '../../../src/admission/review/admission-decision.ts';
import { answer, limitWarnings } from '../../../src/admission/review/answer.ts';
import { SOAK } from '../../settings.ts';

/** Lone surrogates included. fast-check's own `binary` takes a second to set up. */
const UTF16_UNIT = fc.nat(0xffff).map((code) => String.fromCharCode(code));

const allowed: AdmissionDecision = {
  outcome: 'allowed',
  reason: 'not_requested',
  reasons: ['not_requested'],
  rules: [],
  warnings: [],
  denials: [],
  patch: [],
};
const responseTo = (decision: Partial<AdmissionDecision>) =>
  JSON.parse(answer('u', { ...allowed, ...decision })).response;
const denial = (message: string) => ({ reason: 'dev_not_allowed', message, cause: message }) as const;

/** What apiserver's recorder (pkg/endpoints/filters/warning.go) makes of warnings, in code points. */
function asSent(warnings: readonly string[]): string[] {
  const points = (text: string) => [...text].length;
  const total = warnings.reduce((sum, warning) => sum + points(warning), 0);
  if (total <= 4096) return [...warnings];
  const sent: string[] = [];
  let written = 0;
  for (const warning of warnings) {
    const cut = [...warning].slice(0, 256).join('');
    if (written + points(cut) > 4096) break;
    written += points(cut);
    sent.push(cut);
  }
  return sent;
}

describe('warnings', () => {
  it('reach the user as we wrote them, however many and however long they are', () => {
    const message = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 400 }),
      fc.string({ unit: UTF16_UNIT, maxLength: 5_000 }),
      fc.nat(6_000).map((length) => '😀'.repeat(length)),
    );
    fc.assert(
      fc.property(fc.array(message, { maxLength: 40 }), (messages) => {
        const limited = limitWarnings(messages.map(denial));
        expect(asSent(limited)).toEqual(limited);
        for (const warning of limited) {
          expect(warning.isWellFormed()).toBe(true);
          expect(warning).not.toMatch(/\p{Cc}/u);
        }
      }),
      { numRuns: SOAK ? 2_000 : 60 },
    );
  });

  it('are not cut while they fit together', () => {
    const messages = ['a'.repeat(4_000), 'b'.repeat(96)];
    expect(limitWarnings(messages.map(denial))).toEqual(messages);
  });

  it('are cut each, in order, and those left out are counted', () => {
    const messages = Array.from({ length: 20 }, (_, i) => `${i} `.padEnd(300, 'x'));
    const limited = limitWarnings(messages.map(denial));
    expect(limited).toHaveLength(16);
    expect(limited[0]).toBe(`${'0 '.padEnd(255, 'x')}…`);
    expect(limited.at(-1)).toMatch(/^5 more warnings/);
  });

  it('lose their remedies before their reasons', () => {
    const warnings = Array.from({ length: 10 }, (_, i) => ({
      cause: `cause ${i}`,
      message: `cause ${i}: ${'x'.repeat(900)}`,
    }));
    expect(limitWarnings(warnings)).toEqual(warnings.map(({ cause }) => cause));
  });

  it('are each given once', () => {
    expect(limitWarnings(['a', 'b', 'a'].map(denial))).toEqual(['a', 'b']);
  });
});

describe('an answer', () => {
  it('has neither patch nor warnings where there are none', () => {
    expect(responseTo({})).toEqual({
      uid: 'u',
      allowed: true,
      auditAnnotations: { outcome: 'allowed', reasons: 'not_requested' },
    });
  });

  it('has a patch with its type', () => {
    const patch = [{ op: 'add', path: '/metadata/annotations', value: { ü: '😀' } }] as const;
    const response = responseTo({ patch });
    expect(response.patchType).toBe('JSONPatch');
    expect(JSON.parse(Buffer.from(response.patch, 'base64').toString('utf8'))).toEqual(patch);
  });

  it('says one denial as it is, and several as a list', () => {
    const one = responseTo({ outcome: 'denied', denials: [denial('no.')] });
    expect(one).toMatchObject({ allowed: false, status: { code: 403, reason: 'Forbidden', message: 'no.' } });
    const two = responseTo({ outcome: 'denied', denials: [denial('no.'), denial('never.')] });
    expect(two.status.message).toBe('2 problems:\n  - no.\n  - never.');
  });

  it('bounds what a pod made for it can have us say', () => {
    const denials = Array.from({ length: 10_000 }, () => denial('x'.repeat(10_000)));
    const { message } = responseTo({ outcome: 'denied', denials }).status;
    expect(message.length).toBeLessThan(128 * 1024);
    expect(message).toContain('and 9950 more');
  });

  it('has audit annotations that API servers take: keys that are the name part of a qualified name, values of text', () => {
    const { auditAnnotations } = responseTo({ rules: ['everyone', 'edge'], reasons: ['injected', 'pod_security'] });
    expect(auditAnnotations).toEqual({ outcome: 'allowed', reasons: 'injected,pod_security', rules: 'everyone,edge' });
    for (const key of Object.keys(auditAnnotations)) expect(key).toMatch(/^[A-Za-z0-9][-\w.]{0,61}[A-Za-z0-9]$/);
  });
});
