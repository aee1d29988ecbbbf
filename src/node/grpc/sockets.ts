import { chmodSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { makeDirectories } from '../../linux/make-directories.ts';
import type { Service } from './services.ts';

/** Bytes of a request. The kubelet sends a few hundred; the attributes of a volume are its author's to write. */
const MAX_REQUEST = 256 * 1024;

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_REQUEST,
  // Its bookkeeping of every call is for debuggers.
  'grpc.enable_channelz': 0,
} as const;

export interface Listening {
  /** Nobody is answered any more. Listeners go on until they are ended. */
  close(): void;
}

/**
 * Serves on a unix socket that root alone can reach. It is bound under a hidden name and renamed: whoever has the path open, or watches
 * its directory, finds the daemon before this one, or this one, and never none. Nobody removes the socket at the end, for the same
 * reason: it would be the next daemon's.
 * @throws Error where the path cannot be had
 */
export async function serveOnSocket(path: string, services: readonly Service[]): Promise<Listening> {
  makeDirectories(dirname(path), 0o750);
  const hidden = `${dirname(path)}/.${basename(path)}.next`;
  rmSync(hidden, { force: true });
  const server = new Server(OPTIONS);
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  const address = `unix://${hidden}`;
  const close = (): void => {
    // A shutdown alone forgets the connections where the library keeps no books (channelz).
    server.unbind(address);
    server.forceShutdown();
  };
  try {
    await new Promise<void>((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      server.bindAsync(address, credentials, (error) => (error ? reject(error) : resolve()));
    });
    chmodSync(hidden, 0o600);
    renameSync(hidden, path);
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
