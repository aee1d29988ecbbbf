import fc from 'fast-check';
import { expect, test } from 'vitest';
import { messageParser } from './messages.ts';

test('messages arrive whole and in order, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), fc.array(fc.nat(40)), (messages, cuts) => {
      const stream = Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
      const received: string[] = [];
      const parse = messageParser<string>((message) => received.push(message));
      let position = 0;
      for (const length of [...cuts, stream.length]) {
        parse(stream.subarray(position, position + length));
        position += length;
      }
      expect(received).toEqual(messages);
    }),
  );
});
