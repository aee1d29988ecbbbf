import type { Logger } from '../observability/logger.ts';
import type { Policy } from '../policy/index.ts';
import type { DevicePlugin, DevicePluginStatus } from './device-plugin/plugin.ts';
import { removeResources } from './device-plugin/registry.ts';
import type { DeviceController } from './devices/controller.ts';
import { countNames, featureText, writeFeatureFile } from './feature-file.ts';
import type { MediaController } from './media/controller.ts';
import type { Attempts } from './reconcile/attempts.ts';

export interface ClassCountsOptions {
  readonly media: MediaController;
  readonly devices: DeviceController;
  readonly attempts: Attempts;
  readonly kubeletDir: string | undefined;
  /** As NodeOptions has them. */
  readonly devicePluginDir?: string | undefined;
  readonly featureFile?: string | undefined;
  readonly log: Logger;
}

/**
 * Tells the scheduler how many disks and devices of each class are plugged in: as extended resources through the device plugin, and as
 * labels through the file that node-feature-discovery reads.
 */
export class ClassCounts {
  readonly #options: ClassCountsOptions;
  #plugin: DevicePlugin | undefined;
  /** In force; undefined before the start. */
  #policy: Policy | undefined;

  constructor(options: ClassCountsOptions) {
    this.#options = options;
  }

  /** To be called when everything has been reconciled once: before, the scheduler would be told of less than there is. */
  async start(policy: Policy): Promise<void> {
    const { attempts, devicePluginDir, kubeletDir, log } = this.#options;
    this.#policy = policy;
    if (devicePluginDir !== undefined) {
      // gRPC takes memory that a daemon without a device plugin does not need.
      const { DevicePlugin } = await import('./device-plugin/plugin.ts');
      attempts.run('the start of the device plugin', () => {
        // Which may be another by the time that a failed start is tried again.
        this.#plugin = new DevicePlugin(devicePluginDir, classNames(this.#policy ?? policy), log);
        this.update();
      });
    } else if (kubeletDir !== undefined) attempts.run('the device plugin', () => removeResources(kubeletDir));
    this.update();
  }

  /** Tells the counts of now. Does nothing before the start. */
  update(): void {
    if (!this.#policy) return;
    const { media, devices, attempts, featureFile } = this.#options;
    const counts = countPlugged(media, devices);
    this.#plugin?.setCounts(counts);
    if (featureFile === undefined) return;
    attempts.run('the feature file', () => writeFeatureFile(featureFile, featureText(counts)));
  }

  setPolicy(policy: Policy): void {
    if (this.#policy) this.#policy = policy;
    this.#options.attempts.run('the device plugin', () => this.#plugin?.setClasses(classNames(policy)));
    this.update();
  }

  /** Of the device plugin; undefined without one. */
  status(): DevicePluginStatus | undefined {
    return this.#plugin?.status();
  }

  close(): void {
    this.#plugin?.close();
  }
}

const classNames = ({ mediaClasses, deviceClasses }: Policy): string[] => [
  ...new Set([...mediaClasses, ...deviceClasses].map(({ name }) => name)),
];

/** How many disks and devices each class has. */
const countPlugged = (media: MediaController, devices: DeviceController): Map<string, number> =>
  countNames([
    ...[...media.states.values()].flatMap((state) => (state.kind === 'mounted' ? [state.mounted.className] : [])),
    ...devices.nodes.map(({ desired }) => desired.deviceClass.name),
  ]);
