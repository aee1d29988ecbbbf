import { Command, Option } from 'commander';
import { printable } from '../contract/text.ts';
import type { Uevent } from '../linux/uevent.ts';
import type { Policy } from '../policy/index.ts';
import { fail } from './fail.ts';
import { firstSignal } from './signals.ts';

interface Flags {
  policy?: string;
  subsystem?: string[];
  output: string;
}

const HELP = `
Examples:
  hotmount monitor --policy policy.yaml --subsystem block tty
  hotmount monitor -o json | jq .

Exit codes: 0 stopped by a signal; 1 events cannot be read; 2 wrong usage, or a
bad policy.
`;

/** `hotmount monitor`: kernel events as they come, until a signal. Needs no privilege: it works in any pod with the host's users. */
export function monitorCommand(): Command {
  return new Command('monitor')
    .description('print kernel device events as they come, and what the policy makes of each')
    .option('--policy <file>', 'the policy to judge by (default: the built-in one)')
    .option('--subsystem <names...>', 'only events of these subsystems, such as block or tty')
    .addOption(new Option('-o, --output <format>', 'json: one event a line').choices(['text', 'json']).default('text'))
    .addHelpText('after', HELP)
    .action(async (flags: Flags, command: Command) => {
      try {
        await monitor(flags);
      } catch (error) {
        await fail(command, error, 1);
      }
    });
}

async function monitor({ policy: file, subsystem, output }: Flags): Promise<void> {
  const signalled = firstSignal();
  const [{ listenForUevents }, { readPolicy }] = await Promise.all([
    import('../linux/uevents.ts'),
    import('./read-policy.ts'),
  ]);
  const meaning = await meaningTo((await readPolicy(file)).policy);
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  const listener = listenForUevents(
    subsystem ? { isWanted: (event) => subsystem.includes(event.subsystem) } : {},
    ({ events, overflow, receivedAt }) => {
      if (overflow) process.stderr.write('the kernel had to drop events: some are missing here\n');
      for (const event of events) {
        const means = meaning(event);
        process.stdout.write(
          `${output === 'json' ? json(event, receivedAt, means) : text(event, receivedAt, means)}\n`,
        );
      }
    },
    fail,
  );
  process.stderr.write('listening for kernel events; end with Ctrl-C\n');
  await Promise.race([signalled, failed]);
  listener.close();
}

/** What the daemon would do, as far as can be told without probing the disk, which takes root. */
async function meaningTo(policy: Policy): Promise<(event: Uevent) => string | undefined> {
  const [{ readBlockDevice }, { desire }, { unclaimed }, deviceMeaning] = await Promise.all([
    import('../linux/block.ts'),
    import('../node/media/desired.ts'),
    import('../node/block/hardware-words.ts'),
    deviceMeaningTo(policy),
  ]);
  return (event) => {
    const raw = deviceMeaning(event);
    const { action, subsystem, devpath } = event;
    if (subsystem !== 'block' || raw !== undefined) return raw;
    if (action === 'remove') return 'unmounted, where it was mounted';
    const device = readBlockDevice(devpath.slice(devpath.lastIndexOf('/') + 1));
    if (!device) return 'gone again';
    const desired = desire(device, undefined, { classes: policy.mediaClasses, bootSequence: 0 });
    if (desired.kind === 'leave') {
      const { reason, message } = desired.finding;
      return `left alone: ${reason === 'no_class' ? unclaimed(device, {}) : message}`;
    }
    const candidates = policy.mediaClasses.map(({ name }) => name).join(', ');
    return `looked into: a media class (of ${candidates}) may take it, depending on what is on it`;
  };
}

/** The same for raw devices; undefined where no device class has to do with it. */
async function deviceMeaningTo({ deviceClasses }: Policy): Promise<(event: Uevent) => string | undefined> {
  const [{ eventKey, readDevice }, { isOfInterest }, { classify }, udevDatabase, words] = await Promise.all([
    import('../linux/device.ts'),
    import('../node/devices/match.ts'),
    import('../node/devices/classify.ts'),
    import('../linux/udev-database.ts'),
    import('../node/block/hardware-words.ts'),
  ]);
  const { findUdevDatabase, readUdevRecord } = udevDatabase;
  const { hardwareWords, unclaimed } = words;
  const udev = findUdevDatabase();
  return (event) => {
    const key = eventKey(event);
    const { action, subsystem, env } = event;
    if (!key) return undefined;
    if (!isOfInterest(deviceClasses, { subsystem, name: env['DEVNAME'] ?? '' })) {
      const device = subsystem !== 'block' && action !== 'remove' ? readDevice(key) : undefined;
      return device?.usb ? `left alone: ${unclaimed(device, { subsystem })}` : undefined;
    }
    if (action === 'remove')
      return subsystem === 'block' ? undefined : 'its nodes are removed, and access is taken back';
    const device = readDevice(key);
    if (!device) return 'gone again';
    const result = classify(device, {
      classes: deviceClasses,
      bootSequence: 0,
      properties: udev === undefined ? new Map() : readUdevRecord(udev, key).properties,
      use: () => undefined,
    });
    if (result.kind === 'rejected') {
      if (result.finding) return `left alone: ${result.finding.message}`;
      return subsystem === 'block' ? undefined : `left alone: ${unclaimed(device, { subsystem })}`;
    }
    const classes = result.classes.map(({ name, access }) => `${name} (${access})`).join(', ');
    return `a raw device for the containers of device class ${classes} (${hardwareWords(device)})`;
  };
}

const json = ({ env }: Uevent, receivedAt: number, means: string | undefined): string =>
  JSON.stringify({ time: new Date(receivedAt).toISOString(), ...(means ? { means } : {}), event: env });

function text({ action, subsystem, devpath, env }: Uevent, receivedAt: number, means: string | undefined): string {
  const time = new Date(receivedAt).toISOString().slice(11, 23);
  const device = env['DEVNAME'] ? `/dev/${env['DEVNAME']}` : devpath;
  const line = `${time} ${action.padEnd(7)} ${subsystem.padEnd(10)} ${device}${means ? `: ${means}` : ''}`;
  return printable(line);
}
