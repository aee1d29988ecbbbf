import { expect, test } from 'vitest';
import { readSlowness } from '../../../src/linux/slowness.ts';

test('a node is as slow as its environment says', () => {
  expect(readSlowness()).toBe(1);
  expect(readSlowness('1.5')).toBe(1.5);
  expect(readSlowness('100')).toBe(100);
});

test.each(['', '0', '0.9', '101', '-1', 'slow', '1e2', ' 2', 'Infinity'])('a slowness of "%s" is refused', (text) => {
  expect(() => readSlowness(text)).toThrow(`HOTMOUNT_SLOWNESS=${text}: expected a number from 1 to 100`);
});
