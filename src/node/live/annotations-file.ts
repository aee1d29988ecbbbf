import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { LIVE_ANNOTATIONS } from '../../contract/volumes.ts';
import { O_DIRECTORY, O_PATH } from '../../linux/constants.ts';
import { errorCode } from '../../linux/errors.ts';
import { openBelow } from '../../linux/openat2.ts';
import { parseAnnotations, type ReadAnnotations } from './annotations.ts';

/**
 * The kubelet's directory of a pod's downwardAPI volume, `O_PATH`, found without following a link; undefined where there is none.
 * @throws SystemCallError, or Node's own error, such as for a lack of descriptors
 */
export function openVolume(kubeletDir: string, podUid: string): number | undefined {
  try {
    const pods = openSync(`${kubeletDir}/pods`, O_PATH | O_DIRECTORY);
    try {
      const path = `${podUid}/volumes/kubernetes.io~downward-api/${LIVE_ANNOTATIONS.volume}`;
      return openBelow(pods, path, O_PATH | O_DIRECTORY, ['noLinks']);
    } finally {
      closeSync(pods);
    }
  } catch (error) {
    if (ABSENT.includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}

const ABSENT = ['ENOENT', 'ENOTDIR', 'ELOOP'];

/**
 * Annotations together have 256 KiB at most (k8s.io/apimachinery TotalAnnotationSizeLimitB), of which Go's quoting can make four times as
 * much; and each has a line with four characters more.
 */
const MAX_BYTES = 3 << 19;

/**
 * A pod's annotations as the kubelet has written them last. The file is a link to a link (`..data`) in its volume, which the lookup does
 * not leave. Undefined where there is none: the pod is starting, or ending.
 * @throws SystemCallError, or Node's own error, such as for a lack of descriptors
 */
export function readAnnotations(kubeletDir: string, podUid: string): ReadAnnotations | undefined {
  const volume = openVolume(kubeletDir, podUid);
  if (volume === undefined) return undefined;
  try {
    return readFile(volume);
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (code === 'ENOENT') return undefined;
    const problem = PROBLEMS[code];
    if (problem !== undefined) return { problem: `${problem} (${code})` };
    throw error;
  } finally {
    closeSync(volume);
  }
}

/** What somebody may have put where the file should be. */
const PROBLEMS: Readonly<Record<string, string>> = {
  ELOOP: 'leads out of its volume',
  EXDEV: 'leads out of its volume',
  ENOTDIR: 'is not where it should be',
  EISDIR: 'is a directory',
  ENXIO: 'is a socket or a pipe',
  EACCES: 'may not be read',
};

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;

function readFile(volume: number): ReadAnnotations {
  const flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  const file = openBelow(volume, LIVE_ANNOTATIONS.file, flags, ['noMounts', 'noMagicLinks']);
  try {
    const status = fstatSync(file);
    if (!status.isFile()) return { problem: 'is no regular file' };
    if (status.size > MAX_BYTES) return { problem: `has more than ${MAX_BYTES} bytes` };
    // The kubelet writes a file once, and then another in its place.
    const bytes = Buffer.allocUnsafe(status.size);
    const length = readSync(file, bytes, 0, bytes.length, 0);
    return parseAnnotations(bytes.toString('utf8', 0, length));
  } finally {
    closeSync(file);
  }
}
