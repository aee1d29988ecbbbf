import { readFileSync, realpathSync, statSync } from 'node:fs';
import { runChild } from '../../linux/child.ts';
import { errorCode, isErrno } from '../../linux/errors.ts';

/** The lxcfs of this machine, and what it can do. */
export interface Program {
  readonly path: string;
  /** `5.0.3` */
  readonly version: string;
  /** The long options that its help names, `enable-cfs` and the like. */
  readonly options: ReadonlySet<string>;
}

/** There is none, or none that will do: nothing to be tried again before someone installs another. */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}

const PLACES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', '/opt/lxcfs/bin'];
/** ms. It only prints. */
const DEADLINE = 5000;
/** Since then there are pidfds, cgroup v2 and all the views. */
const OLDEST = 4;
/** From here on there is no cgroup v1: it starts there all the same, and serves the node's values. */
const ONLY_UNIFIED = 7;

/** @throws Unfit which says what to install */
export async function findProgram(cgroups: 'v1' | 'v2', search = process.env['PATH'] ?? ''): Promise<Program> {
  const path = [...search.split(':'), ...PLACES]
    .filter(Boolean)
    .map((dir) => `${dir}/lxcfs`)
    .find(isExecutable);
  if (path === undefined) {
    throw new Unfit('lxcfs is not installed: install the package lxcfs, or use an image of hotmount that has it');
  }
  const [version, help] = await Promise.all([printed(path, '--version'), printed(path, '--help')]);
  const number = /\d+(\.\d+)*/.exec(version)?.[0];
  if (number === undefined)
    throw new Unfit(`${path} --version printed ${JSON.stringify(version.trim())}, which is no version: is it lxcfs?`);
  const major = Number.parseInt(number, 10);
  if (major < OLDEST) throw new Unfit(`${path} is lxcfs ${number}: install ${OLDEST}.0 or newer`);
  if (cgroups === 'v1' && major >= ONLY_UNIFIED) {
    throw new Unfit(
      `${path} is lxcfs ${number}, which does not know cgroup v1, and this node has it: install lxcfs 6.0`,
    );
  }
  return { path, version: number, options: parseOptions(help) };
}

/** The long options in what `--help` prints. */
export const parseOptions = (help: string): ReadonlySet<string> =>
  new Set([...help.matchAll(/--([a-z][a-z-]+)/g)].map(([, name]) => name as string));

/** The arguments that fit this lxcfs, its mount point excepted. */
export function argumentsFor(
  { options }: Program,
  { loadavg, pidfile, runtimeDir }: { loadavg: boolean; pidfile: string; runtimeDir: string },
): string[] {
  return [
    ...(loadavg ? ['-l'] : []),
    ...['enable-cfs', 'enable-pidfd'].filter((name) => options.has(name)).map((name) => `--${name}`),
    ...(options.has('runtime-dir') ? [`--runtime-dir=${runtimeDir}`] : []),
    '-p',
    pidfile,
    '-o',
    'allow_other,fsname=hotmount,subtype=lxcfs',
  ];
}

/**
 * Names the program and the libraries of its own that a process runs, as they are on disk now: once it differs from what it was when the
 * process started, there is a new lxcfs to be taken over.
 */
export function fingerprint({ path }: Program, pid: number): string {
  const files = new Set([target(path)]);
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const file = /\s(\/.*\/lib(?:lxcfs|fuse3?)\.so[^ ]*)/.exec(line)?.[1];
    if (file) files.add(file);
  }
  return [...files].sort().map(describe).join(' ');
}

/** The same, of the files that an earlier fingerprint names. */
export const fingerprintNow = ({ path }: Program, earlier: string): string => {
  const libraries = earlier
    .split(' ')
    .map((entry) => entry.split('=')[0] as string)
    .filter((file) => /\.so/.test(file));
  return [...new Set([target(path), ...libraries])].sort().map(describe).join(' ');
};

/** Where a link leads to; itself where it leads nowhere any more. */
function target(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    return path;
  }
}

function describe(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return `${file}=${stat ? `${stat.ino}:${stat.size}:${stat.mtimeNs}` : 'gone'}`;
}

function isExecutable(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return Boolean(stat?.isFile() && stat.mode & 0o111);
}

async function printed(path: string, flag: string): Promise<string> {
  try {
    const { stdout, stderr, timedOut } = await runChild(path, [flag], { deadline: DEADLINE });
    if (timedOut) throw new Unfit(`${path} ${flag} did not end within ${DEADLINE / 1000} s`);
    return `${stdout}${stderr}`;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    throw new Unfit(`${path} cannot be run: ${(error as Error).message}`);
  }
}
