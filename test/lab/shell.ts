/**
 * The lab by hand: boots a guest and gives a prompt. What is typed runs in the guest with bash; lines that begin with a colon plug
 * and pull. `:help` lists them.
 *
 *     node test/lab/shell.ts [--systemd]
 */
import { createInterface } from 'node:readline/promises';
import { startLab } from './lab.ts';
import { STICK_FILE_SYSTEMS } from './stick-image.ts';

const HELP = `:stick vfat|exfat|ext4 [LABEL]   plug a new stick in, with a file hello.txt on it
:serial                          plug a serial adapter in; what the guest writes to it is shown
:pull NUMBER                     pull what was plugged in
:console                         what the guest's console shows
:help, :quit
Anything else runs in the guest (bash, each line on its own, in the checkout).
`;

const say = (text: string) => void process.stderr.write(text);
/** Lines from a pipe need no prompt, and readline refuses one when the pipe has ended. */
const ask = () => process.stdin.isTTY && prompt.prompt();
const plugged: { pull(): Promise<void> }[] = [];
const lab = await startLab({ init: process.argv.includes('--systemd') ? 'systemd' : 'shell' });
const prompt = createInterface({ input: process.stdin, output: process.stderr, prompt: 'lab# ' });
prompt.on('SIGINT', () => prompt.close());
process.once('SIGTERM', () => prompt.close());
try {
  say(`the guest is up (qemu ${lab.pid})\n${HELP}`);
  ask();
  for await (const line of prompt) {
    if (line.trim() === ':quit') break;
    await obey(line.trim()).catch((error) => say(`${error.message}\n`));
    if (!lab.running) break;
    ask();
  }
} finally {
  prompt.close();
  await lab.stop();
}

async function obey(line: string): Promise<void> {
  const [command, ...words] = line.split(/\s+/);
  switch (command) {
    case '':
      return;
    case ':help':
      return say(HELP);
    case ':console':
      return say(lab.console());
    case ':stick':
      return plugStick(words[0], words[1]);
    case ':serial':
      return plugSerial();
    case ':pull': {
      const device = plugged[Number(words[0])];
      return device ? device.pull() : say(`nothing has the number ${words[0]}\n`);
    }
    default:
      return runInGuest(line);
  }
}

async function plugStick(wanted?: string, label?: string): Promise<void> {
  const fs = STICK_FILE_SYSTEMS.find((known) => known === wanted);
  if (!fs) return say(`a stick is ${STICK_FILE_SYSTEMS.join(', ')}, not "${wanted ?? ''}"\n`);
  const image = await lab.makeStick({
    fs,
    files: { 'hello.txt': 'hello\n' },
    ...(label === undefined ? {} : { label }),
  });
  const stick = await lab.plugUsbStick({ image });
  say(`${plugged.push(stick) - 1}: /dev/${await stick.disk()}, serial ${stick.serial}\n`);
}

async function plugSerial(): Promise<void> {
  const adapter = await lab.plugUsbSerial();
  adapter.wire.on('data', (data) => say(`[wire] ${data}`));
  say(`${plugged.push(adapter) - 1}: /dev/${await adapter.tty()}, serial ${adapter.serial}\n`);
}

async function runInGuest(line: string): Promise<void> {
  const { code, signal, stdout, stderr } = await lab.run(line, { timeoutMs: 600_000 });
  process.stdout.write(stdout);
  say(stderr);
  if (code !== 0) say(`[${signal ?? `exit code ${code}`}]\n`);
}
