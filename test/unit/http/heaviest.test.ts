import { describe, expect, it } from 'vitest';
import { heaviest, sourceOf } from '../../../src/http/heaviest.ts';

const share = (source: string, weight: number, name: string) => ({ source, weight, name });

describe('heaviest', () => {
  it('is the oldest share of the source that holds the most in sum', () => {
    const shares = [share('a', 5, 'a1'), share('b', 2, 'b1'), share('b', 4, 'b2'), share('c', 1, 'c1')];
    expect(heaviest(shares)?.name).toBe('b1');
  });

  it('is the oldest of all where each source holds as much', () => {
    expect(heaviest([share('a', 1, 'a1'), share('b', 1, 'b1')])?.name).toBe('a1');
  });

  it('is nothing where there is nothing', () => {
    expect(heaviest([])).toBeUndefined();
  });
});

describe('the source of an address', () => {
  it.each([
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::1:2:3:4', '2001:db8:0:0'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    [undefined, ''],
  ])('%s is %s', (address, source) => expect(sourceOf(address)).toBe(source));
});
