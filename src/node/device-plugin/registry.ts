import { readdirSync, rmSync } from 'node:fs';
import { exists } from '../../linux/exists.ts';

const PREFIX = 'hotmount.io-devices-';

/** Where the kubelet finds the sockets of plugins. */
export const registryIn = (kubeletDir: string): string => `${kubeletDir}/plugins_registry`;

export const socketName = (className: string): string => `${PREFIX}${className}.sock`;

/** Takes all resources away from the kubelet for good: it would go on looking for who serves them. @throws Error of the system */
export const removeResources = (kubeletDir: string): void => removeSockets(registryIn(kubeletDir), []);

/** Takes away the resources of all classes but some. @throws Error of the system */
export function removeSockets(registry: string, kept: readonly string[]): void {
  if (!exists(registry)) return;
  const names = new Set(kept.map(socketName));
  for (const name of readdirSync(registry)) {
    if (name.startsWith(PREFIX) && !names.has(name)) rmSync(`${registry}/${name}`, { force: true });
  }
}
