import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import type { LivePodStatus } from '../../../src/node/live/status.ts';
import { Container, type ContainerOptions } from './container.ts';
import type { Daemon } from './daemon.ts';
import { sized } from './devices.ts';
import { annotationsText, type FakeKubelet, type FakePod } from './fake-kubelet.ts';
import { type Rig, until } from './rig.ts';

export type Annotations = Readonly<Record<string, string>>;

/** A policy in which pods of `edge-*` may be live, with the media class `test` and the device class `raw`, of zram disks of a size in MiB. */
export const livePolicy = (rig: Rig, size: number, allow = 'live: true, media: [test], devices: [raw]'): string =>
  `${rig.policy().replace('rules: []\n', '')}deviceClasses:
  - {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(size)}}]}
rules:
  - {name: edge, namespaces: ["edge-*"], allow: {${allow}}}
`;

/** A live pod as the kubelet sets it up: its directory published, its annotations in a downwardAPI volume, and a container with both. */
export class LivePod {
  readonly pod: FakePod;
  readonly #kubelet: FakeKubelet;
  readonly #startContainer: () => Container;
  #container: Container;

  private constructor(kubelet: FakeKubelet, pod: FakePod, startContainer: () => Container) {
    this.#kubelet = kubelet;
    this.pod = pod;
    this.#startContainer = startContainer;
    this.#container = startContainer();
  }

  get container(): Container {
    return this.#container;
  }

  static async start(rig: Rig, kubelet: FakeKubelet, annotations: Annotations = {}, options: ContainerOptions = {}) {
    const pod = { uid: randomUUID(), namespace: 'edge-1', name: 'web', serviceAccount: 'copier' };
    const answer = await kubelet.publish(pod, 'hotmount-live', { live: 'true' });
    if (answer.code !== 'OK') throw new Error(`${answer.code}: ${answer.message}`);
    kubelet.writeAnnotations(pod, annotationsText(annotations));
    const startContainer = (): Container =>
      new Container(rig, {
        mounts: [
          {
            source: readlinkSync(kubelet.target(pod, 'hotmount-live')),
            target: '/hotmount',
            propagation: 'rslave',
            readOnly: true,
          },
          { source: kubelet.annotationsVolume(pod), target: '/hotmount/.annotations', readOnly: true },
        ],
        ...options,
      });
    return new LivePod(kubelet, pod, startContainer);
  }

  /** As the kubelet starts a container of it anew, if the old one has ended. */
  restart(): void {
    this.#container.stop();
    this.#container = this.#startContainer();
  }

  /** As the kubelet does some time after `kubectl annotate`. */
  annotate(annotations: Annotations): void {
    this.#kubelet.writeAnnotations(this.pod, annotationsText(annotations));
  }

  /** The file that the pod's program can read. */
  told(): { media: string[]; devices: string[]; notGiven: { reason: string; message: string }[] } {
    return JSON.parse(this.container.sh('cat /hotmount/status'));
  }

  /** What `hotmount status` says of it, once that is so. */
  status(daemon: Daemon, isSo: (status: LivePodStatus) => boolean): Promise<LivePodStatus> {
    let last: LivePodStatus | undefined;
    return until(`the status of the live pod; the last one: ${JSON.stringify(last)}`, async () => {
      last = (await daemon.status())?.live?.pods.find(({ podUid }) => podUid === this.pod.uid);
      if (last && isSo(last)) return last;
      throw new Error(JSON.stringify(last));
    });
  }

  /** As the kubelet does when the pod has ended. */
  async remove(): Promise<void> {
    this.container.stop();
    await this.#kubelet.unpublish(this.#kubelet.target(this.pod, 'hotmount-live'));
  }
}

/** What is mounted in live directories, as the node's table has it. */
export const liveMounts = (runDir: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${runDir}/live/`))
    .map((path) => path.slice(`${runDir}/live/`.length))
    .sort();
