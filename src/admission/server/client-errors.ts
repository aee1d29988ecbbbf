import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../../observability/logger.ts';
import { type HttpProblem, statusBody } from './http-errors.ts';

/**
 * Deals with a connection that gave an error before it gave a request: a failed TLS handshake, something that is not HTTP, headers
 * too large or too slow. The server's `clientError` event brings all of these.
 */
export function handleClientError(error: NodeJS.ErrnoException, socket: Socket, log: Logger): void {
  const code = error.code ?? '';
  const from = socket.remoteAddress;
  const remedy = TLS_REMEDIES[code];
  if (remedy) log.warn({ from, code }, `TLS handshake failed: ${remedy}`);
  // Probes and port scans hang up in the middle of things all the time: not worth a line.
  else log.debug({ from, code }, 'connection gave no request');

  const problem = HTTP_PROBLEMS[code] ?? (code.startsWith('HPE_') ? NOT_HTTP : undefined);
  if (problem && socket.writable) socket.write(rawAnswer(problem));
  socket.destroy(error);
}

const WRONG_CA = 'the client does not trust our certificate; is the caBundle in the webhook configuration our CA?';
/** By OpenSSL's codes; Go's clients, API servers among them, send "bad certificate" where others send "unknown CA". */
const TLS_REMEDIES: Readonly<Record<string, string>> = {
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': WRONG_CA,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: WRONG_CA,
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the client speaks nothing newer than TLS 1.1, and 1.2 is the least',
  ERR_SSL_HTTP_REQUEST: 'the client spoke plain HTTP; health and metrics are served without TLS on the metrics port',
};

const NOT_HTTP: HttpProblem = { code: 400, reason: 'request_malformed', message: 'this is not an HTTP request' };
const HTTP_PROBLEMS: Readonly<Record<string, HttpProblem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { code: 408, reason: 'request_malformed', message: 'the request took too long to arrive' },
  HPE_HEADER_OVERFLOW: { code: 431, reason: 'request_malformed', message: 'the headers are too large' },
};

/** There is no response object to write to: the parser gave up on the connection. */
function rawAnswer(problem: HttpProblem): string {
  const body = statusBody(problem);
  return [
    `HTTP/1.1 ${problem.code} ${STATUS_CODES[problem.code]}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
