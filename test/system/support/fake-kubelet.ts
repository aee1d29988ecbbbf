import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { LIVE_ANNOTATIONS } from '../../../src/contract/volumes.ts';

/** As the kubelet writes annotations into a file: a line each, in order, quoted as Go does, which is nearly as JSON does. */
export const annotationsText = (annotations: Readonly<Record<string, string>>): string =>
  Object.entries(annotations)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');

/** A pod as the kubelet knows it. */
export interface FakePod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  /** Its volumes are not `readOnly`. */
  readonly writable?: boolean;
}

export type Answer = { readonly code: string; readonly message: string; readonly bytes: Uint8Array };

/** What the kubelet does about CSI volumes on one node, without a kubelet: its directories, and its calls over real sockets. */
export class FakeKubelet {
  readonly dir: string;
  readonly #clients: Client[] = [];
  #versions = 0;

  constructor(dir: string) {
    this.dir = dir;
    for (const name of ['pods', 'plugins', 'plugins_registry']) mkdirSync(`${dir}/${name}`, { recursive: true });
  }

  get endpoint(): string {
    return `${this.dir}/plugins/hotmount.io/csi.sock`;
  }

  get registrationSocket(): string {
    return `${this.dir}/plugins_registry/hotmount.io-reg.sock`;
  }

  /** The kubelet makes what the target is in, and nothing more. */
  target({ uid }: Pick<FakePod, 'uid'>, volume: string): string {
    const directory = `${this.dir}/pods/${uid}/volumes/kubernetes.io~csi/${volume}`;
    mkdirSync(directory, { recursive: true });
    return `${directory}/mount`;
  }

  publish(
    pod: FakePod,
    volume: string,
    attributes: Readonly<Record<string, string>>,
    target = this.target(pod, volume),
    info: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const context = {
      ...attributes,
      'csi.storage.k8s.io/pod.name': pod.name,
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/pod.uid': pod.uid,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
      'csi.storage.k8s.io/ephemeral': 'true',
      ...info,
    };
    return this.call('/csi.v1.Node/NodePublishVolume', publishRequest(target, context, pod.writable !== true));
  }

  /**
   * Sets up the downwardAPI volume of a live pod's annotations, or writes it anew, as the kubelet does: a tmpfs, in which `..data` is renamed
   * to lead to another directory (pkg/volume/util/atomic_writer.go).
   * @param text of the file; `annotationsText` gives it
   */
  writeAnnotations({ uid }: Pick<FakePod, 'uid'>, text: string): void {
    const volume = this.annotationsVolume({ uid });
    const file = LIVE_ANNOTATIONS.file;
    if (!existsSync(volume)) {
      mkdirSync(volume, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=1777,size=8m', 'tmpfs', volume]);
    }
    const before = existsSync(`${volume}/..data`) ? readlinkSync(`${volume}/..data`) : undefined;
    const version = `..${++this.#versions}`;
    mkdirSync(`${volume}/${version}`);
    writeFileSync(`${volume}/${version}/${file}`, text);
    symlinkSync(version, `${volume}/..data_tmp`);
    renameSync(`${volume}/..data_tmp`, `${volume}/..data`);
    if (before === undefined) symlinkSync(`..data/${file}`, `${volume}/${file}`);
    else rmSync(`${volume}/${before}`, { recursive: true });
  }

  /** Where the file is, for a container to mount its directory. */
  annotationsVolume({ uid }: Pick<FakePod, 'uid'>): string {
    return `${this.dir}/pods/${uid}/volumes/kubernetes.io~downward-api/${LIVE_ANNOTATIONS.volume}`;
  }

  unpublish(target: string): Promise<Answer> {
    const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string('csi-1');
    return this.call(
      '/csi.v1.Node/NodeUnpublishVolume',
      writer.tag(2, WireType.LengthDelimited).string(target).finish(),
    );
  }

  /** What the kubelet does when it finds the registration socket. @returns the driver's name and endpoint */
  async register(): Promise<{ name: string; endpoint: string }> {
    const info = await this.call('/pluginregistration.Registration/GetInfo', new Uint8Array(), this.registrationSocket);
    const fields = readStrings(info.bytes);
    const registered = new BinaryWriter().tag(1, WireType.Varint).bool(true).finish();
    await this.call('/pluginregistration.Registration/NotifyRegistrationStatus', registered, this.registrationSocket);
    return { name: fields[2] ?? '', endpoint: fields[3] ?? '' };
  }

  /** One connection for many calls, as the kubelet has it. */
  connect(socket = this.endpoint): Client {
    const client = new Client(`unix://${socket}`, credentials.createInsecure());
    this.#clients.push(client);
    return client;
  }

  async call(method: string, bytes: Uint8Array, socket = this.endpoint): Promise<Answer> {
    const client = this.connect(socket);
    try {
      return await callOn(client, method, bytes);
    } finally {
      client.close();
    }
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

export const callOn = (client: Client, method: string, bytes: Uint8Array): Promise<Answer> =>
  new Promise((resolve) => {
    const same = (value: Uint8Array): Buffer => Buffer.from(value);
    const deadline = { deadline: Date.now() + 30_000 };
    client.makeUnaryRequest(method, same, same, bytes, deadline, (error: ServiceError | null, answer?: Uint8Array) => {
      const code = status[error?.code ?? status.OK];
      resolve({ code, message: error?.details ?? '', bytes: answer ?? new Uint8Array() });
    });
  });

export function publishRequest(target: string, context: Readonly<Record<string, string>>, readOnly = true): Uint8Array {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string('csi-1');
  writer.tag(4, WireType.LengthDelimited).string(target);
  // The capability, which is nothing to us: block or mount, access mode.
  writer.tag(5, WireType.LengthDelimited).bytes(new Uint8Array([0x12, 0, 0x1a, 2, 8, 1]));
  if (readOnly) writer.tag(6, WireType.Varint).bool(true);
  for (const [key, value] of Object.entries(context)) {
    const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string(key);
    writer.tag(8, WireType.LengthDelimited).bytes(entry.tag(2, WireType.LengthDelimited).string(value).finish());
  }
  return writer.finish();
}

function readStrings(bytes: Uint8Array): Record<number, string> {
  const reader = new BinaryReader(bytes);
  const fields: Record<number, string> = {};
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    fields[field] = reader.string();
  }
  return fields;
}
