import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { fileProblem } from '../files/index.ts';
import { KubernetesError } from './errors.ts';

/**
 * Reads a kubeconfig: the file named, else those of `KUBECONFIG`, `~/.kube/config`, or the service account of the pod. Of the library, this
 * module alone is shipped: its generated models take 30 MB.
 * @throws KubernetesError that names the file
 */
export async function loadKubeconfig(file?: string): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
    return config;
  } catch (error) {
    // The library names no file; whichever it cannot read alone is the one.
    const files = file === undefined ? defaultFiles() : [file];
    for (const each of files) {
      try {
        new KubeConfig().loadFromFile(each);
      } catch (own) {
        throw new KubernetesError(`${each}: ${problemOf(own)}`);
      }
    }
    throw new KubernetesError(`the kubeconfig ${files.join(', ')} cannot be used: ${firstLine(error)}`);
  }
}

function defaultFiles(): string[] {
  const named = (process.env['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  return named.length > 0 ? named : [join(homedir(), '.kube/config')];
}

function problemOf(error: unknown): string {
  const { errno, code } = error as NodeJS.ErrnoException;
  if (errno === undefined) return `it is no kubeconfig that can be read: ${firstLine(error)}`;
  const remedy = ': run it with sudo, or make a copy that you may read, and name that by --kubeconfig or KUBECONFIG';
  return fileProblem(error) + (code === 'EACCES' ? remedy : '');
}

/** What follows may be a piece of the file, with its secrets. */
const firstLine = (error: unknown): string => (error as Error).message.split('\n')[0] ?? '';
