import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackOff } from '../../../../src/node/lxcfs/back-off.ts';
import { type Member, nextStep, type Situation } from '../../../../src/node/lxcfs/plan.ts';

const member = (id: string, phase: Member['phase'] = 'ready', more: Partial<Member> = {}): Member => ({
  id,
  phase,
  isCurrent: true,
  isInGrace: false,
  ...more,
});
const situation = (members: readonly Member[], more: Partial<Situation> = {}): Situation => ({
  members,
  published: '1',
  isStarting: false,
  isHealing: false,
  mayStart: true,
  ...more,
});
const old = { isCurrent: false };

describe('the next step', () => {
  const cases: [what: string, Situation, ReturnType<typeof nextStep>][] = [
    ['nothing where there is an active one and a standby', situation([member('1'), member('2')]), undefined],
    ['a first one is started', situation([], { published: undefined }), { do: 'start' }],
    ['and published when it is ready', situation([member('1')], { published: undefined }), { do: 'publish', id: '1' }],
    ['not before', situation([member('1', 'unproven')], { published: undefined, isStarting: true }), undefined],
    ['the standby is started next', situation([member('1')]), { do: 'start' }],
    ['not two at a time', situation([member('1')], { isStarting: true }), undefined],
    ['not where it is no use', situation([member('1')], { mayStart: false }), undefined],
    [
      'the standby is published when the active one dies',
      situation([member('1', 'dead'), member('2')]),
      { do: 'publish', id: '2' },
    ],
    [
      'containers are moved before anything is started or cleared',
      situation([member('1', 'dead'), member('2')], { published: '2', isHealing: true }),
      undefined,
    ],
    ['then another is started', situation([member('1', 'dead'), member('2')], { published: '2' }), { do: 'start' }],
    [
      'then the dead one is cleared away',
      situation([member('1', 'dead'), member('2')], { published: '2', isStarting: true }),
      { do: 'clear', id: '1' },
    ],
    [
      'a dead one that is published stays where runtimes fail on it',
      situation([member('1', 'dead')], { isStarting: true }),
      undefined,
    ],
    [
      'a new lxcfs is started beside two old ones',
      situation([member('1', 'ready', old), member('2', 'ready', old)]),
      { do: 'start' },
    ],
    [
      'and published when it is ready',
      situation([member('1', 'ready', old), member('2', 'ready', old), member('3')]),
      { do: 'publish', id: '3' },
    ],
    [
      'old ones stay until there is a new standby',
      situation([member('1', 'ready', old), member('3')], { published: '3', isStarting: true }),
      undefined,
    ],
    [
      'and while they are read from',
      situation([member('1', 'ready', { ...old, isInGrace: true }), member('3'), member('4')], { published: '3' }),
      undefined,
    ],
    [
      'then they go',
      situation([member('1', 'ready', old), member('3'), member('4')], { published: '3' }),
      { do: 'clear', id: '1' },
    ],
    [
      'an old one is better than none',
      situation([member('1', 'dead', old), member('2', 'ready', old)], { mayStart: false }),
      { do: 'publish', id: '2' },
    ],
    [
      'one too many goes, but not the active one',
      situation([member('1'), member('2'), member('3')], { published: '3' }),
      { do: 'clear', id: '2' },
    ],
  ];
  for (const [what, given, step] of cases) {
    it(what, () => {
      expect(nextStep(given)).toEqual(step);
    });
  }

  it('leads from any situation to an active one and a standby of the current program, and never clears the only one that serves', () => {
    const anyMember = fc.record({
      phase: fc.constantFrom('unproven' as const, 'ready' as const, 'dead' as const),
      isCurrent: fc.boolean(),
      isInGrace: fc.constant(false),
    });
    fc.assert(
      fc.property(
        fc.array(anyMember, { maxLength: 5 }),
        fc.option(fc.nat(5), { nil: undefined }),
        (start, published) => {
          let members: Member[] = start.map((m, i) => ({ id: String(i), ...m }));
          let now = published === undefined ? undefined : String(published);
          for (let i = 0, next = 100; i < 50; i++) {
            // Whatever is tested passes in the end.
            members = members.map((m) => (m.phase === 'unproven' ? { ...m, phase: 'ready' } : m));
            const step = nextStep(situation(members, { published: now }));
            if (!step) break;
            const serving = members.filter(({ phase }) => phase === 'ready').length;
            if (step.do === 'publish') now = step.id;
            else if (step.do === 'start') members.push(member(String(next++), 'unproven'));
            else {
              expect(step.id).not.toBe(now);
              const phase = members.find(({ id }) => id === step.id)?.phase;
              if (phase === 'ready') expect(serving).toBeGreaterThan(2);
              members = members.filter(({ id }) => id !== step.id);
            }
          }
          expect(members.map(({ phase, isCurrent }) => `${phase} ${isCurrent}`)).toEqual(['ready true', 'ready true']);
          expect(members.map(({ id }) => id)).toContain(now);
        },
      ),
    );
  });
});

describe('the back-off', () => {
  it('waits longer after each failure, up to half a minute, and not at all after a success', () => {
    let now = 0;
    const backOff = new BackOff(() => now);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      backOff.failed();
      waits.push(backOff.wait);
      now += backOff.wait;
    }
    expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(waits.at(-1)).toBe(30_000);
    backOff.succeeded();
    expect(backOff.wait).toBe(0);
    backOff.failed();
    expect(backOff.wait).toBe(100);
  });

  it('starts at once what worked and then died, unless that has become a habit', () => {
    let now = 0;
    const backOff = new BackOff(() => now);
    for (let i = 0; i < 60; i++) backOff.died();
    expect(backOff.wait).toBe(0);
    backOff.died();
    expect(backOff.wait).toBe(2000);
    now = 100_000;
    backOff.died();
    expect(backOff.wait).toBe(0);
  });
});
