import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { type ChildResult, runChild } from '../../linux/child.ts';
import { errorCode, isErrno } from '../../linux/errors.ts';
import { patient } from '../../linux/slowness.ts';

/** An lxcfs of this machine, and what it can do. */
export interface Program {
  /** In `root`. */
  readonly path: string;
  /** The directory that holds all that it needs, where that is not `/`: its libraries and their loader are there as well. */
  readonly root: string;
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
/** Of what an image brings along: in each subdirectory packages of Debian, unpacked. */
const TREES = '/opt/lxcfs';
const IN_TREE = '/usr/bin/lxcfs';
/** ms. It only prints. */
const DEADLINE = patient(5000);
/** Since then there are pidfds, cgroup v2 and all the views. */
const OLDEST = 4;

/** Where there is one: what is installed, and what an image brings along. */
function places(search: string, trees: string): Pick<Program, 'root' | 'path'>[] {
  const installed = [...search.split(':'), ...PLACES]
    .filter(Boolean)
    .map((dir) => `${dir}/lxcfs`)
    .find(isExecutable);
  const roots = directoriesIn(trees).filter((root) => isExecutable(`${root}${IN_TREE}`));
  return [
    ...(installed === undefined ? [] : [{ root: '/', path: installed }]),
    ...roots.map((root) => ({ root, path: IN_TREE })),
  ];
}

/** Names all of them as they are on disk now: once it differs, there is something to be found. */
export const placesNow = (search = searchPath(), trees = treesPath()): string =>
  places(search, trees)
    .map((place) => describe(target(placeOf(place))))
    .join(' ');

const searchPath = (): string => process.env['PATH'] ?? '';
const treesPath = (): string => process.env['HOTMOUNT_LXCFS'] ?? TREES;

export interface FoundPrograms {
  /** The newest first. */
  readonly programs: readonly Program[];
  /** What kept others from saying what they are. */
  readonly problems: readonly Error[];
}

/**
 * The one that is installed, and those in `HOTMOUNT_LXCFS`. Which of them fits the node, a reader has to find out.
 * @throws Unfit which says what to install, where there is none
 */
export async function findPrograms(search = searchPath(), trees = treesPath()): Promise<FoundPrograms> {
  const found = places(search, trees);
  if (found.length === 0) {
    throw new Unfit('lxcfs is not installed: install the package lxcfs, or use an image of hotmount that has it');
  }
  const asked = await Promise.allSettled(found.map(ask));
  const programs = asked.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const problems = asked.flatMap((result): Error[] => (result.status === 'rejected' ? [result.reason] : []));
  if (programs.length === 0) throw problems[0];
  programs.sort((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }));
  return { programs, problems };
}

async function ask({ root, path }: Pick<Program, 'root' | 'path'>): Promise<Program> {
  const place = inRoot(root, path);
  const [version, help] = await Promise.all([printed(root, path, '--version'), printed(root, path, '--help')]);
  // Whoever fails to run it may have numbers in what it says.
  if (version.code !== 0)
    throw new Unfit(
      `${place} --version ended with code ${version.code}: ${version.output.trim() || 'it said nothing'}`,
    );
  const number = /\d+(\.\d+)*/.exec(version.output)?.[0];
  if (number === undefined) {
    const said = JSON.stringify(version.output.trim());
    throw new Unfit(`${place} --version printed ${said}, which is no version: is it lxcfs?`);
  }
  if (Number.parseInt(number, 10) < OLDEST)
    throw new Unfit(`${place} is lxcfs ${number}: install ${OLDEST}.0 or newer`);
  return { path, root, version: number, options: parseOptions(help.output) };
}

const inRoot = (root: string, path: string): string => (root === '/' ? path : `${root}${path}`);

/** Where a program lies, as this process sees it. */
export const placeOf = ({ root, path }: Pick<Program, 'root' | 'path'>): string => inRoot(root, path);

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path).map((name) => `${path}/${name}`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    return [];
  }
}

/** The long options in what `--help` prints. */
export const parseOptions = (help: string): ReadonlySet<string> =>
  new Set([...help.matchAll(/--([a-z][a-z-]+)/g)].map(([, name]) => name as string));

/** The arguments that fit this lxcfs, its mount point excepted. */
export function argumentsFor(
  { options }: Program,
  { loadavg, pidfile }: { loadavg: boolean; pidfile: string },
): string[] {
  return [
    ...(loadavg ? ['-l'] : []),
    ...['enable-cfs', 'enable-pidfd'].filter((name) => options.has(name)).map((name) => `--${name}`),
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
export function fingerprint(program: Program, pid: number): string {
  const files = new Set([target(placeOf(program))]);
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const file = /\s(\/.*\/lib(?:lxcfs|fuse3?)\.so[^ ]*)/.exec(line)?.[1];
    if (file) files.add(inRoot(program.root, file));
  }
  return [...files].sort().map(describe).join(' ');
}

/** The same, of the files that an earlier fingerprint names. */
export const fingerprintNow = (program: Program, earlier: string): string => {
  const libraries = earlier
    .split(' ')
    .map((entry) => entry.split('=')[0] as string)
    .filter((file) => /\.so/.test(file));
  return [...new Set([target(placeOf(program)), ...libraries])].sort().map(describe).join(' ');
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

async function printed(
  root: string,
  path: string,
  flag: string,
): Promise<Pick<ChildResult, 'code'> & { output: string }> {
  const place = inRoot(root, path);
  const [command = '', ...args] = root === '/' ? [path, flag] : ['chroot', root, path, flag];
  try {
    const { code, stdout, stderr, timedOut } = await runChild(command, args, { deadline: DEADLINE });
    if (timedOut) throw new Unfit(`${place} ${flag} did not end within ${DEADLINE / 1000} s`);
    return { code, output: `${stdout}${stderr}` };
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    throw new Unfit(`${place} cannot be run: ${(error as Error).message}`);
  }
}
