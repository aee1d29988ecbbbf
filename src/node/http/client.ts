import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { errorCode } from '../../linux/errors.ts';

export interface Question {
  readonly runDir: string;
  /** Name of the unix socket in the run dir. */
  readonly socket: string;
  /** `GET /status` */
  readonly page: string;
  /** ms */
  readonly deadline: number;
  /** Subject of the error's sentence where no answer comes. */
  readonly whom: string;
}

/** Opens a connection and asks; undefined where nobody listens. @throws Error where the answer stalls for as long as the deadline */
export async function connect({
  runDir,
  socket,
  page,
  deadline,
  whom,
}: Question): Promise<IncomingMessage | undefined> {
  const [method, path] = page.split(' ');
  let directory: number | undefined;
  try {
    // A socket's address has 108 bytes at most, and a run dir may be longer.
    directory = openSync(runDir, 'r');
    const asked = request({ socketPath: `/proc/self/fd/${directory}/${socket}`, method, path });
    let answer: IncomingMessage | undefined;
    asked.setTimeout(deadline, () =>
      (answer ?? asked).destroy(new Error(`${whom} did not answer within ${deadline / 1000} s`)),
    );
    asked.end();
    [answer] = (await once(asked, 'response')) as [IncomingMessage];
    // Where the answer stalls, its reader gets the error, and the request gets it, too.
    asked.on('error', () => {});
    return answer;
  } catch (error) {
    // No socket; its process has ended; it ended just now.
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

/** The body of the answer; undefined where nobody listens. @throws Error where there is no answer in time, or it is an error */
export async function ask(question: Question): Promise<string | undefined> {
  const response = await connect(question);
  if (!response) return undefined;
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  if (response.statusCode !== 200) throw new Error(body.trim());
  return body;
}
