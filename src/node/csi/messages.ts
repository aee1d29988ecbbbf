import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';

/**
 * The messages between the kubelet and a CSI driver, as far as they are used here: csi.proto of the Container Storage Interface 1.x, and
 * pluginregistration/v1 of the kubelet. Each names the fields that it reads or writes; others are skipped, as protobuf has it. Written
 * by hand on a library's wire format: a loader of .proto files costs 10 MB of each node's memory, this 1.
 */

export interface PublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
  /** Of the volume: then the kubelet has every mount of it read-only. */
  readonly readOnly: boolean;
  /** The volume's attributes, and what the kubelet says of the pod. */
  readonly volumeContext: Readonly<Record<string, string>>;
}

/** @throws Error for bytes that are no such message; the same for the other `read…` */
export function readPublishRequest(bytes: Uint8Array): PublishRequest {
  let volumeId = '';
  let targetPath = '';
  let readOnly = false;
  const volumeContext: Record<string, string> = Object.create(null);
  eachField(bytes, {
    1: (reader) => {
      volumeId = reader.string();
    },
    4: (reader) => {
      targetPath = reader.string();
    },
    6: (reader) => {
      readOnly = reader.bool();
    },
    8: (reader) => {
      const [key, value] = readEntry(reader.bytes());
      volumeContext[key] = value;
    },
  });
  return { volumeId, targetPath, readOnly, volumeContext };
}

export interface UnpublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
}

export function readUnpublishRequest(bytes: Uint8Array): UnpublishRequest {
  let volumeId = '';
  let targetPath = '';
  eachField(bytes, {
    1: (reader) => {
      volumeId = reader.string();
    },
    2: (reader) => {
      targetPath = reader.string();
    },
  });
  return { volumeId, targetPath };
}

export interface RegistrationStatus {
  readonly registered: boolean;
  readonly error: string;
}

export function readRegistrationStatus(bytes: Uint8Array): RegistrationStatus {
  let registered = false;
  let error = '';
  eachField(bytes, {
    1: (reader) => {
      registered = reader.bool();
    },
    2: (reader) => {
      error = reader.string();
    },
  });
  return { registered, error };
}

/** A message that says nothing. Not undefined, which gRPC's library takes for a call that never came. */
export const EMPTY: object = {};

export function readEmpty(bytes: Uint8Array): object {
  eachField(bytes, {});
  return EMPTY;
}

export const writeEmpty = (): Buffer => Buffer.alloc(0);

export interface PluginInfo {
  readonly name: string;
  readonly version: string;
}

export const writePluginInfo = ({ name, version }: PluginInfo): Buffer =>
  finish(new BinaryWriter().uint32(tag(1)).string(name).uint32(tag(2)).string(version));

/** The answer to Probe: a `BoolValue`. */
export const writeProbe = (ready: boolean): Buffer =>
  finish(new BinaryWriter().uint32(tag(1)).fork().uint32(8).bool(ready).join());

export const writeNodeInfo = ({ nodeId }: { readonly nodeId: string }): Buffer =>
  finish(new BinaryWriter().uint32(tag(1)).string(nodeId));

export interface Registration {
  readonly type: 'CSIPlugin';
  readonly name: string;
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
}

export function writeRegistration({ type, name, endpoint, supportedVersions }: Registration): Buffer {
  const writer = new BinaryWriter().uint32(tag(1)).string(type).uint32(tag(2)).string(name);
  writer.uint32(tag(3)).string(endpoint);
  for (const version of supportedVersions) writer.uint32(tag(4)).string(version);
  return finish(writer);
}

/** Of a field that is preceded by its length. */
const tag = (field: number): number => (field << 3) | 2;

const finish = (writer: BinaryWriter): Buffer => Buffer.from(writer.finish());

function eachField(bytes: Uint8Array, fields: Readonly<Record<number, (reader: BinaryReader) => void>>): void {
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

function readEntry(bytes: Uint8Array): [key: string, value: string] {
  let key = '';
  let value = '';
  eachField(bytes, {
    1: (reader) => {
      key = reader.string();
    },
    2: (reader) => {
      value = reader.string();
    },
  });
  return [key, value];
}
