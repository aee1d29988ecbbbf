import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { type DemoContainer, findProgram } from './container.ts';
import { RULE, type Screen } from './show.ts';
import { DaemonError, Stage, until } from './stage.ts';

const PROGRAMS = ['runc', 'busybox', 'losetup', 'mkfs.ext4', 'blkid', 'mount', 'umount', 'unshare', 'setpriv'];

/** What the node's half takes and this machine lacks; undefined where all is there. */
export function whyNoNode(): string | undefined {
  if (process.platform !== 'linux') return 'it takes Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) return `these programs are not installed: ${missing.join(', ')}`;
  // As root of a container, mostly.
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) return 'it takes the right to mount';
  return existsSync('/dev/loop-control') ? undefined : 'it takes loop devices';
}

/**
 * Plays the node's half, with a daemon, a container and disks (loop devices) of its own, in a directory of its own, and removes them
 * all again. Without these, one line says why it is left out.
 * @returns false where something did not come or go as it should
 */
export async function showNode(write: (text: string) => void, { colors }: Screen, number: number): Promise<boolean> {
  const leaveOut = (reason: string): true => {
    write(`\n${colors.dim(`(The node's half is left out: ${reason}.)`)}\n`);
    return true;
  };
  const reason = whyNoNode();
  if (reason !== undefined) return leaveOut(reason);
  const stage = new Stage();
  const end = (): never => {
    stage.clear();
    process.exit(1);
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    let container: DemoContainer;
    try {
      container = await stage.setUp();
    } catch (error) {
      if (error instanceof DaemonError) throw error;
      return leaveOut((error as Error).message.replace(/\.$/, ''));
    }
    write(`\n${heading('The disk itself', number, colors)}
The node's daemon and a runc container without any capability are running: before your eyes, with devices of this demo's own.\n`);
    await showDisk(write, stage, container, colors);
    write(`\n${heading('The raw device itself', number + 1, colors)}
The same container, which may open no device but /dev/null and its like.\n`);
    await showDevice(write, stage, container, colors);
    return true;
  } catch (error) {
    write(`${colors.red(`This is not as it should be: ${(error as Error).message}.`)}\n`);
    return false;
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    stage.clear();
  }
}

const heading = (title: string, number: number, colors: Screen['colors']): string =>
  colors.bold(`── ${number}. ${title} `.padEnd(RULE, '─'));

type Play = (
  write: (text: string) => void,
  stage: Stage,
  container: DemoContainer,
  colors: Screen['colors'],
) => Promise<void>;

const showDisk: Play = async (write, stage, container, colors) => {
  write(`\n${colors.dim(`$ losetup --find --show stick.img      # plug it in`)}\n`);
  const file = `/proc/${container.pid}/root/media/STICK/hello`;
  const plugged = performance.now();
  write(`${stage.plug()}\n`);
  await until('the file appears in the container', () => existsSync(file) && readFileSync(file).length > 0);
  const appeared = performance.now() - plugged;
  write(
    `${colors.dim('$ runc exec demo cat /media/STICK/hello')}
${container.exec('cat', '/media/STICK/hello')}
${colors.green(`${appeared.toFixed(0)} ms`)} from plugging it in until the running container could read the file.

${colors.dim('$ truncate --size 0 stick.img          # pull it')}\n`,
  );
  const pulled = performance.now();
  stage.pull();
  await until('the disk goes from the container', () => !existsSync(`/proc/${container.pid}/root/media/STICK`));
  const gone = performance.now() - pulled;
  write(
    `${colors.dim('$ runc exec demo ls /media')}
${container.exec('ls', '/media')}${colors.green(`${gone.toFixed(0)} ms`)} until it was gone, from the container too.\n`,
  );
};

const showDevice: Play = async (write, stage, container, colors) => {
  write(`\n${colors.dim(`$ losetup --find --show raw.img        # plug it in`)}\n`);
  const plugged = performance.now();
  const name = stage.plugRaw();
  write(`/dev/${name}\n`);
  const node = `/proc/${container.pid}/root/devices/${name}`;
  await until('the node appears in the container', () => existsSync(node));
  const appeared = performance.now() - plugged;
  write(
    `${colors.dim(`$ runc exec demo head -n 1 /devices/${name}`)}
${container.exec('head', '-n', '1', `/devices/${name}`)}
${colors.green(`${appeared.toFixed(0)} ms`)} from plugging it in until the running container could open it.

${colors.dim(`$ losetup --detach /dev/${name}          # pull it`)}\n`,
  );
  const pulled = performance.now();
  stage.unplugRaw();
  await until('the node goes from the container', () => !existsSync(node));
  const gone = performance.now() - pulled;
  write(
    `${colors.dim('$ runc exec demo ls /devices')}
${container.exec('ls', '/devices')}${colors.green(`${gone.toFixed(0)} ms`)} until it was gone, and the right to open it with it.\n`,
  );
};
