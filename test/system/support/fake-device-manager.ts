import { existsSync } from 'node:fs';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Client, type ClientReadableStream, status } from '@grpc/grpc-js';
import { type Answer, callOn, type FakeKubelet } from './fake-kubelet.ts';
import { until } from './rig.ts';

/** The kubelet's part towards the device plugin of one class: finds its socket, registers it, listens to it, and asks it for devices. */
export class FakeDeviceManager {
  readonly socket: string;
  readonly #kubelet: FakeKubelet;
  #client: Client | undefined;
  #stream: ClientReadableStream<Uint8Array> | undefined;
  /** The ids of the last answer of ListAndWatch. */
  devices: readonly string[] = [];
  /** gRPC's code with which the stream has ended. */
  ended: string | undefined;

  constructor(kubelet: FakeKubelet, className: string) {
    this.#kubelet = kubelet;
    this.socket = `${kubelet.dir}/plugins_registry/hotmount.io-devices-${className}.sock`;
  }

  /** @returns the resource that it is */
  async connect(): Promise<{ type: string; name: string; version: string }> {
    await until('the socket is there', () => existsSync(this.socket));
    const info = await this.#kubelet.call('/pluginregistration.Registration/GetInfo', new Uint8Array(), this.socket);
    const [type = '', name = '', , version = ''] = strings(info.bytes);
    await this.notify(true);
    this.#listen();
    return { type, name, version };
  }

  notify(registered: boolean, error = ''): Promise<Answer> {
    const writer = new BinaryWriter().tag(1, WireType.Varint).bool(registered);
    const message = writer.tag(2, WireType.LengthDelimited).string(error).finish();
    return this.#kubelet.call('/pluginregistration.Registration/NotifyRegistrationStatus', message, this.socket);
  }

  /** What the kubelet does before a container starts that has these. */
  allocate(...ids: string[]): Promise<Answer> {
    const container = new BinaryWriter();
    for (const id of ids) container.tag(1, WireType.LengthDelimited).string(id);
    const request = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(container.finish()).finish();
    return callOn(this.#client as Client, '/v1beta1.DevicePlugin/Allocate', request);
  }

  until(...devices: string[]): Promise<true> {
    return until(`the devices are ${devices}`, () => {
      if (this.devices.join() !== devices.join()) throw new Error(`they are ${this.devices}`);
      return true as const;
    });
  }

  /** As a kubelet that ends. */
  disconnect(): void {
    this.#stream?.cancel();
    this.#client?.close();
  }

  #listen(): void {
    const same = (value: Uint8Array): Buffer => Buffer.from(value);
    this.#client = this.#kubelet.connect(this.socket);
    this.ended = undefined;
    const path = '/v1beta1.DevicePlugin/ListAndWatch';
    const stream = this.#client.makeServerStreamRequest(path, same, same, new Uint8Array());
    this.#stream = stream;
    stream.on('data', (bytes: Uint8Array) => {
      this.devices = fields(bytes).map((device) => {
        const [id = '', health = ''] = strings(device);
        return health === 'Healthy' ? id : `${id} ${health}`;
      });
    });
    // Without a listener, an error would be thrown.
    stream.on('error', () => {});
    stream.on('status', ({ code }) => {
      this.ended = status[code];
      this.devices = [];
    });
  }
}

/** The contents of all fields, none of which is a number. */
function fields(bytes: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    reader.tag();
    found.push(reader.bytes());
  }
  return found;
}

const strings = (bytes: Uint8Array): string[] => fields(bytes).map((field) => Buffer.from(field).toString());
