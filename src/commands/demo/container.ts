import { execFileSync, type StdioOptions } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';

const NAMESPACES = ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type }));
/** It ends by itself where nobody is left to stop it. s. */
const LIFE = '60';

export interface DemoContainer {
  /** A process in it, as the node sees it. */
  readonly pid: number;
  /** Runs a program in it and returns what it prints. */
  exec(...args: string[]): string;
  stop(): void;
}

/**
 * Starts an unprivileged runc container without a single capability, with busybox (a static one) for an image, and with class
 * directories mounted as the webhook has the kubelet do it: read-only, `HostToContainer`.
 * @param mounts what is mounted where, by the path in the container
 * @throws Error with what runc said
 */
export function startContainer(dir: string, id: string, mounts: Readonly<Record<string, string>>): DemoContainer {
  const bundle = `${dir}/bundle`;
  const log = `${dir}/runc.log`;
  const runc = (...args: string[]): string => {
    try {
      // What the container inherits must not be a pipe of ours: it would stay open for as long as the container lives.
      const stdout = args[0] === 'run' ? 'ignore' : 'pipe';
      const stdio: StdioOptions = ['ignore', stdout, stdout];
      const all = ['--root', `${dir}/runc`, '--log', log, ...args];
      return String(execFileSync('runc', all, { encoding: 'utf8', stdio }) ?? '').trim();
    } catch (error) {
      const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').at(-1) : undefined;
      throw new Error(`runc ${args[0]}: ${said || (error as Error).message}`, { cause: error });
    }
  };
  for (const path of ['bin', 'proc', 'dev', ...Object.keys(mounts)])
    mkdirSync(`${bundle}/rootfs/${path}`, { recursive: true });
  copyFileSync(findProgram('busybox') ?? '', `${bundle}/rootfs/bin/busybox`);
  for (const applet of ['sleep', 'cat', 'head', 'ls']) symlinkSync('busybox', `${bundle}/rootfs/bin/${applet}`);
  const spec = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: ['sleep', LIFE],
      env: ['PATH=/bin'],
      cwd: '/',
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'demo',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      ...Object.entries(mounts).map(([destination, source]) => ({
        destination,
        type: 'bind',
        source,
        options: ['rbind', 'rslave', 'ro'],
      })),
    ],
    linux: { namespaces: NAMESPACES, cgroupsPath: `/${id}` },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
  const stop = (): void => void runc('delete', '--force', id);
  try {
    runc('run', '--detach', '--bundle', bundle, id);
    const { pid } = JSON.parse(runc('state', id)) as { pid: number };
    return { pid, exec: (...args) => runc('exec', id, ...args), stop };
  } catch (error) {
    if (existsSync(`${dir}/runc/${id}`)) stop();
    throw error;
  }
}

/** The path of a program, undefined where it is not installed. */
export const findProgram = (name: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(':')
    .map((dir) => `${dir}/${name}`)
    .find((path) => existsSync(path));
