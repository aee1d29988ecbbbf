import { randomUUID } from 'node:crypto';
import { LIVE_ANNOTATIONS } from '../../src/contract/volumes.ts';
import { annotationsText } from '../system/support/fake-kubelet.ts';
import { RUN_DIR } from './guest-node.ts';
import type { Lab } from './lab.ts';
import { startPodContainer } from './pod-container.ts';

export const KUBELET_DIR = '/tmp/kubelet';

/** Where a pod of this namespace may be live, and have what these classes give. */
export const liveRule = (namespace: string, allow: object): object => ({
  name: 'live',
  namespaces: [namespace],
  allow: { live: true, ...allow },
});

const PUBLISH = `import { publishLink } from './src/node/csi/target.ts';
  const [kubeletDir, podUid, source] = process.argv.slice(1);
  publishLink(kubeletDir, { podUid, volume: 'hotmount-live' }, source, { pod: 'edge/web', serviceAccount: 'default' });`;

/** A live pod of the namespace `edge` in the guest, where there is no kubelet: what that keeps of it on the disk is made here. */
export class GuestLivePod {
  readonly uid = randomUUID();
  readonly #lab: Lab;
  #versions = 0;

  private constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** As an earlier boot has left it: published, and with no directory. A daemon that starts makes that. */
  static async publish(lab: Lab): Promise<GuestLivePod> {
    const pod = new GuestLivePod(lab);
    const volume = `${pod.#directory}/volumes/kubernetes.io~csi/hotmount-live`;
    await lab.sh(
      `mkdir -p ${volume} && node --input-type=module -e "$SCRIPT" ${KUBELET_DIR} ${pod.uid} ${pod.#liveDirectory}`,
      { env: { SCRIPT: PUBLISH } },
    );
    return pod;
  }

  get #directory(): string {
    return `${KUBELET_DIR}/pods/${this.uid}`;
  }

  get #liveDirectory(): string {
    return `${RUN_DIR}/live/${this.uid}`;
  }

  /** Starts a container that has its directory at `/hotmount`, once that is there. */
  async start() {
    await this.#lab.waitUntil(`[ -d ${this.#liveDirectory}/devices ]`);
    return startPodContainer(this.#lab, this.#liveDirectory, '/hotmount');
  }

  /** As the kubelet writes annotations: into another directory, to which `..data` is then renamed. */
  async annotate(annotations: Readonly<Record<string, string>>): Promise<void> {
    const { volume, file } = LIVE_ANNOTATIONS;
    const directory = `${this.#directory}/volumes/kubernetes.io~downward-api/${volume}`;
    const version = `..${++this.#versions}`;
    await this.#lab.writeFile(`${directory}/${version}/${file}`, annotationsText(annotations));
    await this.#lab.sh(
      `cd ${directory} && ln -sfn ..data/${file} ${file} && ln -s ${version} ..data_tmp && mv -T ..data_tmp ..data`,
    );
  }
}
