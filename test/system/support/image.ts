import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CAPABILITIES } from './pod.ts';
import { type Rig, run } from './rig.ts';

const BUILD = fileURLToPath(new URL('../../../.ci/image', import.meta.url));

/** What a pod's container adds to its image. */
export interface RunOptions {
  /** Default: the image's own. */
  readonly user?: number;
  readonly privileged?: boolean;
  readonly mounts?: readonly object[];
}

interface Config {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly WorkingDir: string;
}

/** A container that runs until its program ends, or the rig closes. */
export interface Running {
  /** What it has said so far, on both channels. */
  output(): string;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  /** null as long as it runs. */
  exitCode(): number | null;
}

let containers = 0;

/** Both images, built by `.ci/image` from packages. Takes some minutes. @throws with what the build said */
export function buildImages(rig: Rig): { readonly node: Image; readonly webhook: Image } {
  const directory = rig.path('image');
  execFileSync(BUILD, [directory], { stdio: ['ignore', 'inherit', 'pipe'] });
  return { node: new Image(rig, `${directory}/`), webhook: new Image(rig, `${directory}/webhook-`) };
}

/** An image, run as kubelets run it: by its own configuration, on a read-only root file system. */
export class Image {
  readonly config: Config;
  readonly rootfs: string;
  readonly #rig: Rig;

  /** @param built of what `.ci/image` has left */
  constructor(rig: Rig, built: string) {
    this.#rig = rig;
    this.config = JSON.parse(readFileSync(`${built}image.json`, 'utf8')).OCIv1.config;
    this.rootfs = realpathSync(`${built}rootfs`);
  }

  /** Of all its files, in bytes. */
  size(): number {
    return Number(run('du', '-sb', '--one-file-system', this.rootfs).split('\t')[0]);
  }

  /** Starts it, in the network of the machine. `args` come after the entrypoint. */
  start(args: readonly string[], options: RunOptions = {}): Running {
    return this.#run([...this.config.Entrypoint, ...args], options);
  }

  /** Runs another of its programs, and resolves with what that said. Rejects with it where it failed. */
  async program(...args: string[]): Promise<string> {
    const running = this.#run(args, {});
    if ((await running.ended) !== 0) throw new Error(`${args.join(' ')}: ${running.output()}`);
    return running.output().trim();
  }

  #run(args: readonly string[], { user, privileged = false, mounts = [] }: RunOptions): Running {
    const [uid = '0', gid = uid] = this.config.User.split(':');
    const id = `hotmount-image-${process.pid}-${containers++}`;
    const bundle = this.#rig.path(id);
    mkdirSync(bundle);
    const capabilities = privileged ? CAPABILITIES : [];
    const spec = {
      ociVersion: '1.0.2',
      process: {
        user: user === undefined ? { uid: Number(uid), gid: Number(gid) } : { uid: user, gid: user },
        args,
        env: this.config.Env,
        cwd: this.config.WorkingDir || '/',
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        noNewPrivileges: !privileged,
      },
      root: { path: this.rootfs, readonly: true },
      hostname: id,
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        ...(privileged
          ? [
              { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'rslave', 'ro'] },
              { destination: '/dev', type: 'bind', source: '/dev', options: ['rbind', 'rslave'] },
            ]
          : [{ destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] }]),
        ...mounts,
      ],
      linux: {
        namespaces: ['ipc', 'uts', 'mount', ...(privileged ? [] : ['pid'])].map((type) => ({ type })),
        ...(privileged ? { rootfsPropagation: 'rshared' } : {}),
        resources: { devices: [{ allow: privileged, access: 'rwm' }] },
        cgroupsPath: `/${id}`,
      },
    };
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    const runc = ['--root', this.#rig.path('runc')];
    const child = spawn('runc', [...runc, 'run', '-b', bundle, id], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)));
    this.#rig.onClose('process', () => run('runc', ...runc, 'delete', '--force', id));
    return { output: () => output, ended, exitCode: () => child.exitCode };
  }
}
