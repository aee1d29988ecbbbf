import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type InstanceState, plan, type Situation } from '../../../../src/node/lxcfs/plan.ts';
import { RestartBackOff } from '../../../../src/node/lxcfs/restart-back-off.ts';

const instance = (
  id: string,
  phase: InstanceState['phase'] = 'ready',
  more: Partial<InstanceState> = {},
): InstanceState => ({
  id,
  phase,
  isCurrent: true,
  isInGrace: false,
  isStuck: false,
  ...more,
});
const situation = (instances: readonly InstanceState[], more: Partial<Situation> = {}): Situation => ({
  instances,
  published: '1',
  isStarting: false,
  isAttaching: false,
  mayStart: true,
  ...more,
});
const old = { isCurrent: false };
const stuck = { isCurrent: false, isStuck: true };

describe('the next step', () => {
  const cases: [what: string, Situation, ReturnType<typeof plan>][] = [
    ['nothing where there is an active one and a standby', situation([instance('1'), instance('2')]), undefined],
    ['a first one is started', situation([], { published: undefined }), { do: 'start' }],
    [
      'and published when it is ready',
      situation([instance('1')], { published: undefined }),
      { do: 'publish', id: '1' },
    ],
    ['not before', situation([instance('1', 'unproven')], { published: undefined, isStarting: true }), undefined],
    ['the standby is started next', situation([instance('1')]), { do: 'start' }],
    ['not two at a time', situation([instance('1')], { isStarting: true }), undefined],
    ['not where it is no use', situation([instance('1')], { mayStart: false }), undefined],
    [
      'the standby is published when the active one dies',
      situation([instance('1', 'dead'), instance('2')]),
      { do: 'publish', id: '2' },
    ],
    [
      'containers are moved before anything is started or cleared',
      situation([instance('1', 'dead'), instance('2')], { published: '2', isAttaching: true }),
      undefined,
    ],
    ['then another is started', situation([instance('1', 'dead'), instance('2')], { published: '2' }), { do: 'start' }],
    [
      'then the dead one is cleared away',
      situation([instance('1', 'dead'), instance('2')], { published: '2', isStarting: true }),
      { do: 'clear', id: '1' },
    ],
    [
      'a dead one that is published stays where runtimes fail on it',
      situation([instance('1', 'dead')], { isStarting: true }),
      undefined,
    ],
    [
      'a new lxcfs is started beside two old ones',
      situation([instance('1', 'ready', old), instance('2', 'ready', old)]),
      { do: 'start' },
    ],
    [
      'and published when it is ready',
      situation([instance('1', 'ready', old), instance('2', 'ready', old), instance('3')]),
      { do: 'publish', id: '3' },
    ],
    [
      'old ones stay until there is a new standby',
      situation([instance('1', 'ready', old), instance('3')], { published: '3', isStarting: true }),
      undefined,
    ],
    [
      'and while they are read from',
      situation([instance('1', 'ready', { ...old, isInGrace: true }), instance('3'), instance('4')], {
        published: '3',
      }),
      undefined,
    ],
    [
      'then they go',
      situation([instance('1', 'ready', old), instance('3'), instance('4')], { published: '3' }),
      { do: 'clear', id: '1' },
    ],
    [
      'an old one is better than none',
      situation([instance('1', 'dead', old), instance('2', 'ready', old)], { mayStart: false }),
      { do: 'publish', id: '2' },
    ],
    [
      'one that keeps readers waiting goes as soon as they can read from another',
      situation([instance('1', 'ready', stuck), instance('2')], { published: '2', isStarting: true }),
      { do: 'clear', id: '1' },
    ],
    [
      'not where there is no other',
      situation([instance('1', 'ready', stuck), instance('2', 'dead')], { published: '2', mayStart: false }),
      { do: 'publish', id: '1' },
    ],
    [
      'one too many goes, but not the active one',
      situation([instance('1'), instance('2'), instance('3')], { published: '3' }),
      { do: 'clear', id: '2' },
    ],
  ];
  for (const [what, given, step] of cases) {
    it(what, () => {
      expect(plan(given)).toEqual(step);
    });
  }

  it('leads from any situation to an active one and a standby of the current program, and never clears the only one that serves', () => {
    const anyInstance = fc.record({
      phase: fc.constantFrom('unproven' as const, 'ready' as const, 'dead' as const),
      isCurrent: fc.boolean(),
      isInGrace: fc.constant(false),
      isStuck: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(anyInstance, { maxLength: 5 }),
        fc.option(fc.nat(5), { nil: undefined }),
        (start, published) => {
          let instances: InstanceState[] = start.map((m, i) => ({
            id: String(i),
            ...m,
            isCurrent: m.isCurrent && !m.isStuck,
          }));
          let now = published === undefined ? undefined : String(published);
          for (let i = 0, next = 100; i < 50; i++) {
            // Whatever is tested passes in the end.
            instances = instances.map((m) => (m.phase === 'unproven' ? { ...m, phase: 'ready' } : m));
            const step = plan(situation(instances, { published: now }));
            if (!step) break;
            const serving = instances.filter(({ phase }) => phase === 'ready').length;
            if (step.do === 'publish') now = step.id;
            else if (step.do === 'start') instances.push(instance(String(next++), 'unproven'));
            else {
              expect(step.id).not.toBe(now);
              const { phase, isStuck } = instances.find(({ id }) => id === step.id) as InstanceState;
              if (phase === 'ready') expect(serving).toBeGreaterThan(isStuck ? 1 : 2);
              instances = instances.filter(({ id }) => id !== step.id);
            }
          }
          expect(instances.map(({ phase, isCurrent }) => `${phase} ${isCurrent}`)).toEqual([
            'ready true',
            'ready true',
          ]);
          expect(instances.map(({ id }) => id)).toContain(now);
        },
      ),
    );
  });
});

describe('the back-off', () => {
  it('waits longer after each failure, up to half a minute, and not at all after a success', () => {
    let now = 0;
    const backOff = new RestartBackOff(() => now);
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
    const backOff = new RestartBackOff(() => now);
    for (let i = 0; i < 60; i++) backOff.died();
    expect(backOff.wait).toBe(0);
    backOff.died();
    expect(backOff.wait).toBe(2000);
    now = 100_000;
    backOff.died();
    expect(backOff.wait).toBe(0);
  });
});
