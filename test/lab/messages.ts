/**
 * The channel between a test and the agent in the guest: JSON, one message a line, over a virtio serial port. Bytes travel as
 * base64. `id` names a process for as long as the guest runs.
 */

/** Name of the virtio serial port. */
export const PORT_NAME = 'hotmount.lab';

/** From the test to the agent. */
export type Request =
  | { type: 'start'; id: number; argv: string[]; cwd?: string; env?: Record<string, string> }
  | { type: 'stdin'; id: number; data: string }
  | { type: 'stdin-end'; id: number }
  /** To the process group: what the command started ends with it. */
  | { type: 'kill'; id: number; signal: NodeJS.Signals };

/** From the agent to the test. */
export type Report =
  | { type: 'ready' }
  | { type: 'started'; id: number; pid: number }
  | { type: 'failed'; id: number; message: string }
  | { type: 'stdout' | 'stderr'; id: number; data: string }
  | { type: 'exited'; id: number; code: number | null; signal: NodeJS.Signals | null };

/** Cuts a stream of chunks into messages; a character split between two chunks stays whole. */
export function messageParser<Message>(receive: (message: Message) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = '';
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') receive(JSON.parse(line) as Message);
  };
}
