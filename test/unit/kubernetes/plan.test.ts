import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CertificateState,
  nextStep,
  type PlanContext,
  type Step,
  usable,
} from '../../../src/kubernetes/certificates/plan.ts';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const OVERLAP = 5 * MINUTE;
const NOW = Date.UTC(2030, 0, 1);

/** A state with names for the CAs, and what each step makes of it: material.ts, without the cryptography. */
interface Model extends CertificateState {
  readonly caId: number;
  readonly nextId: number;
  readonly oldId: number;
  readonly leafIssuer: number;
}

const valid = (now: number, days: number) => ({ notBefore: now - 60 * MINUTE, notAfter: now + days * DAY });
const EMPTY: Model = {
  ca: undefined,
  next: undefined,
  old: undefined,
  leaf: undefined,
  rotate: undefined,
  caId: 0,
  nextId: 0,
  oldId: 0,
  leafIssuer: 0,
};
let ids = 0;

function take(step: Step, model: Model, now: number): Model {
  const { ca, next, old, caId, nextId, oldId, rotate } = model;
  const leafOf = (issuer: number, notAfter = Number.POSITIVE_INFINITY) => {
    const validity = valid(now, 90);
    const leaf = { ...validity, notAfter: Math.min(validity.notAfter, notAfter), signedByCa: true, namesMatch: true };
    return { leaf, leafIssuer: issuer };
  };
  switch (step) {
    case 'replace_ca': {
      const id = ++ids;
      const previous = ca ? { old: { since: now }, oldId: caId } : { old, oldId };
      return {
        ca: valid(now, 730),
        caId: id,
        next: undefined,
        nextId: 0,
        ...previous,
        ...leafOf(id),
        rotate: undefined,
      };
    }
    case 'introduce_next_ca':
      return {
        ...model,
        next: { ...valid(now, 730), since: now },
        nextId: ++ids,
        rotate: rotate === 'ca' ? undefined : rotate,
      };
    case 'restart_overlap':
      return { ...model, next: next && { ...next, since: now } };
    case 'promote_next_ca': {
      const previous = ca ? { old: { since: now }, oldId: caId } : { old, oldId };
      return {
        ...model,
        ca: next,
        caId: nextId,
        next: undefined,
        nextId: 0,
        ...previous,
        ...leafOf(nextId, next?.notAfter),
      };
    }
    case 'prune_old_ca':
      return { ...model, old: undefined, oldId: 0 };
    case 'restart_pruning':
      return { ...model, old: old && { since: now } };
    case 'renew_leaf':
      return { ...model, ...leafOf(caId, ca?.notAfter), rotate: rotate === 'leaf' ? undefined : rotate };
  }
}

/** All steps that one look takes. */
function settle(model: Model, context: PlanContext): { model: Model; steps: Step[] } {
  const steps: Step[] = [];
  let current = model;
  for (;;) {
    const step = nextStep(current, context);
    if (step === undefined) return { model: current, steps };
    steps.push(step);
    if (steps.length > 8) throw new Error(`does not end: ${steps.join(', ')}`);
    current = take(step, current, context.now);
  }
}

const at = (now: number, nextIsTrusted = true): PlanContext => ({ now, overlapMs: OVERLAP, nextIsTrusted });

const time = fc.integer({ min: -800 * 24, max: 800 * 24 }).map((hours) => NOW + hours * 60 * MINUTE);
const validity = fc.record({ notBefore: time, notAfter: time });
const anything: fc.Arbitrary<Model> = fc.record({
  ca: fc.option(validity, { nil: undefined }),
  next: fc.option(fc.record({ notBefore: time, notAfter: time, since: time }), { nil: undefined }),
  old: fc.option(fc.record({ since: time }), { nil: undefined }),
  leaf: fc.option(fc.record({ notBefore: time, notAfter: time, signedByCa: fc.boolean(), namesMatch: fc.boolean() }), {
    nil: undefined,
  }),
  rotate: fc.constantFrom(undefined, 'ca' as const, 'leaf' as const),
  caId: fc.constant(-1),
  nextId: fc.constant(-2),
  oldId: fc.constant(-3),
  leafIssuer: fc.constant(-1),
});

describe('the plan of certificates', () => {
  test('makes a CA and a leaf where there is nothing', () => {
    expect(settle(EMPTY, at(NOW)).steps).toEqual(['replace_ca']);
  });

  test('does nothing where all is well', () => {
    const { model } = settle(EMPTY, at(NOW));
    expect(settle(model, at(NOW + 59 * DAY)).steps).toEqual([]);
  });

  test('renews the leaf when a third of its time is left', () => {
    const { model } = settle(EMPTY, at(NOW));
    expect(settle(model, at(NOW + 61 * DAY)).steps).toEqual(['renew_leaf']);
  });

  test('replaces a CA in three steps, an overlap between each', () => {
    let { model } = settle({ ...settle(EMPTY, at(NOW)).model, rotate: 'ca' }, at(NOW));
    expect(model.next).toBeDefined();
    expect(settle(model, at(NOW + OVERLAP - 1)).steps).toEqual([]);
    const promoted = settle(model, at(NOW + OVERLAP));
    expect(promoted.steps).toEqual(['promote_next_ca']);
    model = promoted.model;
    expect(settle(model, at(NOW + 2 * OVERLAP - 1)).steps).toEqual([]);
    expect(settle(model, at(NOW + 2 * OVERLAP)).steps).toEqual(['prune_old_ca']);
  });

  test('waits anew where the next CA is not in the caBundle when its time has come', () => {
    const { model } = settle({ ...settle(EMPTY, at(NOW)).model, rotate: 'ca' }, at(NOW));
    expect(settle(model, at(NOW + OVERLAP, false)).steps).toEqual(['restart_overlap']);
  });

  test('takes what a clock that was ahead has made for unusable', () => {
    const { model } = settle(EMPTY, at(NOW + 2 * DAY));
    expect(settle(model, at(NOW)).steps).toEqual(['replace_ca']);
  });

  test('settles from any state, with certificates that serve now', () => {
    fc.assert(
      fc.property(anything, fc.boolean(), (start, nextIsTrusted) => {
        const { model } = settle(start, at(NOW, nextIsTrusted));
        expect(usable(model.ca, NOW) && usable(model.leaf, NOW)).toBe(true);
        expect(model.leaf).toMatchObject({ signedByCa: true, namesMatch: true });
        expect(settle(model, at(NOW, nextIsTrusted)).steps).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('lets API servers that learn late verify replicas that learn late, at any time', () => {
    const look = fc.record({
      after: fc.oneof(fc.integer({ min: 1, max: 10 * MINUTE }), fc.integer({ min: 1, max: 20 * DAY })),
      rotate: fc.constantFrom(undefined, undefined, undefined, 'ca' as const, 'leaf' as const),
    });
    const lag = fc.integer({ min: 0, max: OVERLAP - 1 });
    fc.assert(
      fc.property(fc.array(look, { minLength: 10, maxLength: 120 }), lag, lag, (looks, apiServerLag, replicaLag) => {
        let now = NOW;
        let { model } = settle(EMPTY, at(now));
        const history = [{ since: Number.NEGATIVE_INFINITY, model }];
        for (const { after, rotate } of looks) {
          now += after;
          ({ model } = settle({ ...model, rotate: rotate ?? model.rotate }, at(now)));
          history.push({ since: now, model });
        }
        const seen = (when: number) => history.findLast(({ since }) => since <= when)?.model ?? model;
        for (const { since } of history.slice(1)) {
          for (const when of [since, since + apiServerLag, since + replicaLag]) {
            const { caId, nextId, oldId } = seen(when - apiServerLag);
            expect([caId, nextId, oldId]).toContain(seen(when - replicaLag).leafIssuer);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
