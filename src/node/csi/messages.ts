import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { eachField, finish, tag } from '../grpc/wire.ts';

/**
 * The messages between the kubelet and a CSI driver, as far as they are used here: csi.proto of the Container Storage Interface 1.x. Each
 * names the fields that it reads or writes.
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
