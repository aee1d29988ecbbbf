import { expect, it } from 'vitest';
import { parseSize } from '../../../src/policy/size.ts';

it.each([
  ['0', 0],
  ['512', 512],
  [512, 512],
  ['1k', 1e3],
  ['1M', 1e6],
  ['2G', 2e9],
  ['1T', 1e12],
  ['1P', 1e15],
  ['1Ki', 1024],
  ['64Mi', 67_108_864],
  ['1.5Gi', 1_610_612_736],
  ['2Ti', 2 ** 41],
  ['1Pi', 2 ** 50],
  ['0.3Ki', 307],
])('%j is %d bytes', (size, bytes) => {
  expect(parseSize(size)).toBe(bytes);
});

it.each([
  '',
  '64MB',
  '64 Mi',
  '-1',
  '+1',
  '1e3',
  '0x10',
  '.5Gi',
  '1.',
  '1K',
  '1ki',
  'Mi',
  '8Pi8',
  '9999P',
  -1,
  0.5,
  Number.NaN,
  Infinity,
  null,
  true,
  [1],
])('%j is no size', (size) => {
  expect(parseSize(size)).toBeUndefined();
});
