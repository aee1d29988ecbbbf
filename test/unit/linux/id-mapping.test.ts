import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { composeIds, type IdLine, type IdRange } from '../../../src/linux/id-mapping.ts';
import { swapWithRoot } from '../../../src/linux/user-namespace.ts';

const POD: readonly IdRange[] = [{ containerId: 0, hostId: 200_000, length: 65_536 }];

/** As the kernel looks an id up. */
const shownAs = (lines: readonly IdLine[], id: number): number | undefined => {
  const line = lines.find(([from, , count]) => from <= id && id < from + count);
  return line && line[1] + id - line[0];
};

describe('the ids of a disk, in a container', () => {
  it('are those of its users', () => {
    expect(composeIds(swapWithRoot(0), POD)).toEqual([[0, 200_000, 65_536]]);
  });

  it('are exchanged where its class has an owner', () => {
    expect(composeIds(swapWithRoot(1000), POD)).toEqual([
      [0, 201_000, 1],
      [1, 200_001, 999],
      [1000, 200_000, 1],
      [1001, 201_001, 64_535],
    ]);
  });

  it('are none where the owner is nobody there', () => {
    expect(composeIds(swapWithRoot(70_000), POD)).toEqual([
      [1, 200_001, 65_535],
      [70_000, 200_000, 1],
    ]);
  });

  it('come from one step after the other, whatever the mappings, and no two become one', () => {
    const range = fc.record({ gap: fc.nat(50), length: fc.integer({ min: 1, max: 100 }) });
    const ranges = fc.array(range, { minLength: 1, maxLength: 4 }).map((given) => {
      let containerId = 0;
      return given.map(({ gap, length }, index): IdRange => {
        containerId += gap + (given[index - 1]?.length ?? 0);
        return { containerId, hostId: 100_000 + 1000 * index, length };
      });
    });
    fc.assert(
      fc.property(ranges, fc.nat(300), (pod, owner) => {
        const swap = swapWithRoot(owner);
        const lines = composeIds(swap, pod);
        const inPod = pod.map(({ containerId, hostId, length }): IdLine => [containerId, hostId, length]);
        for (let id = 0; id < 700; id++) expect(shownAs(lines, id)).toBe(shownAs(inPod, shownAs(swap, id) as number));
        const shown = lines.flatMap(([, to, count]) => Array.from({ length: count }, (_, at) => to + at));
        expect(new Set(shown).size).toBe(shown.length);
      }),
      { numRuns: 30 },
    );
  });
});
