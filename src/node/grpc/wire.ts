import { BinaryReader, type BinaryWriter } from '@bufbuild/protobuf/wire';

/** Messages are written by hand on a library's wire format: a loader of .proto files costs 10 MB of each node's memory, this 1. */

/** Of a field that is preceded by its length. */
export const tag = (field: number): number => (field << 3) | 2;

/** The bytes of a whole message. */
export const finish = (writer: BinaryWriter): Buffer => Buffer.from(writer.finish());

/** Reads the named fields, and skips the others, as protobuf requires. @throws Error for bytes that are no message */
export function eachField(bytes: Uint8Array, fields: Readonly<Record<number, (reader: BinaryReader) => void>>): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const read = fields[field];
    if (read) read(reader);
    else reader.skip(wireType, field);
  }
  // The library reads on past a field that is longer than what there is.
  if (reader.pos > reader.len) throw new Error('the message is cut off');
}

/** A message that says nothing. Not undefined, which gRPC's library takes for a call that never came. */
export const EMPTY: object = {};

/** @throws Error for bytes that are no message */
export function readEmpty(bytes: Uint8Array): object {
  eachField(bytes, {});
  return EMPTY;
}

/** A message without a field. */
export const writeEmpty = (): Buffer => Buffer.alloc(0);
