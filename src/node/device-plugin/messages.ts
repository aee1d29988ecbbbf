import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { eachField, finish, tag } from '../grpc/wire.ts';

/** The messages between the kubelet and a device plugin, as far as they are used here (k8s.io/kubelet, deviceplugin/v1beta1/api.proto). */

/** The answer to ListAndWatch: devices that are there and well, by their ids. */
export function writeDevices(ids: readonly string[]): Buffer {
  const writer = new BinaryWriter();
  for (const id of ids) {
    writer.uint32(tag(1)).fork().uint32(tag(1)).string(id).uint32(tag(2)).string('Healthy').join();
  }
  return finish(writer);
}

/** How many containers an Allocate is about. @throws Error for bytes that are no such message */
export function readAllocation(bytes: Uint8Array): number {
  let containers = 0;
  eachField(bytes, {
    1: (reader) => {
      reader.bytes();
      containers++;
    },
  });
  return containers;
}

/** The answer to Allocate: for each container, nothing. */
export function writeAllocation(containers: number): Buffer {
  const writer = new BinaryWriter();
  for (let i = 0; i < containers; i++) writer.uint32(tag(1)).fork().join();
  return finish(writer);
}
