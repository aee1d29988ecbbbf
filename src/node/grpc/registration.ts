import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { call, defineService, type OnOutcome, type Service } from './services.ts';
import { EMPTY, eachField, finish, readEmpty, tag, writeEmpty } from './wire.ts';

/** What a plugin tells the kubelet of itself (pluginregistration/v1). */
export interface Registration {
  readonly type: 'CSIPlugin' | 'DevicePlugin';
  readonly name: string;
  /** The socket of the plugin, as the kubelet reaches it; empty: the one on which it registers. */
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
}

/** What the kubelet made of it. */
export interface RegistrationStatus {
  readonly registered: boolean;
  readonly error: string;
}

/** The service by which the kubelet registers the plugin whose socket it finds in its `plugins_registry`, after each of its starts anew. */
export const registrationService = (
  registration: Registration,
  onStatus: (status: RegistrationStatus) => void,
  onOutcome: OnOutcome,
): Service =>
  defineService(
    'pluginregistration.Registration',
    {
      GetInfo: call({ read: readEmpty, write: writeRegistration, answer: () => registration }),
      NotifyRegistrationStatus: call({
        read: readRegistrationStatus,
        write: writeEmpty,
        answer: (status) => {
          onStatus(status);
          return EMPTY;
        },
      }),
    },
    onOutcome,
  );

/** @throws Error for bytes that are no such message */
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

/** The answer to GetInfo (k8s.io/kubelet, pluginregistration/v1/api.proto). */
export function writeRegistration({ type, name, endpoint, supportedVersions }: Registration): Buffer {
  const writer = new BinaryWriter().uint32(tag(1)).string(type).uint32(tag(2)).string(name);
  writer.uint32(tag(3)).string(endpoint);
  for (const version of supportedVersions) writer.uint32(tag(4)).string(version);
  return finish(writer);
}
