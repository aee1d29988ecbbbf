import { describe, expect, it } from 'vitest';
import { finding, isDenial, REASONS, type Reason } from '../../../src/contract/reasons.ts';

const reasons = Object.entries(REASONS) as [Reason, { kind: string; sentence: string }][];

describe('reasons', () => {
  it('have codes in snake_case and a sentence on one line, without a full stop', () => {
    for (const [reason, { sentence }] of reasons) {
      expect(reason).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(sentence).toMatch(/^[^\n]+[^.\n]$/);
    }
  });

  it('keep an object out where they are mistakes or conflicts, and refusals only under onViolation: deny', () => {
    expect(isDenial('annotation_invalid', 'warn')).toBe(true);
    expect(isDenial('mount_path_taken', 'warn')).toBe(true);
    expect(isDenial('lxcfs_not_allowed', 'deny')).toBe(true);
    expect(isDenial('lxcfs_not_allowed', 'warn')).toBe(false);
    expect(isDenial('container_not_found', 'deny')).toBe(false);
  });

  it('say what they are given, taking nothing in it for a placeholder or a pattern', () => {
    const { message } = finding('container_not_found', { annotation: '$&{hint}', container: '"$1"', hint: '{x}' });
    expect(message).toBe('annotation $&{hint} names the container "$1", and the pod has none of that name{x}');
  });

  it('give no terminal a command, and hold no novel', () => {
    const { message } = finding('annotation_invalid', {
      annotation: 'a\u001b[31m\n\u202e',
      value: 'x'.repeat(9_999),
      problem: '',
    });
    expect(message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
    expect(message.length).toBeLessThan(2_000);
  });
});
