import type { handleUnaryCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { CallRefused, CODES } from './volumes.ts';

/** One call of a service: how its messages are read and written, and what it does. */
export interface Call<Request, Response> {
  readonly read: (bytes: Uint8Array) => Request;
  readonly write: (response: Response) => Buffer;
  /** @throws CallRefused; anything else is an error of ours */
  readonly answer: (request: Request) => Response;
}

/** Binds the two types of a call together. */
export const call = <Request, Response>(made: Call<Request, Response>): Call<unknown, unknown> =>
  made as unknown as Call<unknown, unknown>;

/** What became of a call. */
export interface Outcome {
  readonly method: string;
  /** `OK`, or the name of gRPC's code. */
  readonly code: string;
}

/** A service of gRPC, with these calls and no others: all else is answered `UNIMPLEMENTED`. */
export interface Service {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/**
 * @param name as its .proto says, `csi.v1.Node`
 * @param onOutcome told of every call that could be read
 */
export function defineService(
  name: string,
  calls: Readonly<Record<string, Call<unknown, unknown>>>,
  onOutcome: (outcome: Outcome, error?: Error) => void,
): Service {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [method, { read, write, answer }] of Object.entries(calls)) {
    definition[method] = {
      path: `/${name}/${method}`,
      requestStream: false,
      responseStream: false,
      requestDeserialize: read,
      responseSerialize: write,
      // Of clients, which we are none of.
      requestSerialize: unused,
      responseDeserialize: unused,
    };
    const handle: handleUnaryCall<unknown, unknown> = ({ request }, respond) => {
      try {
        const response = answer(request);
        onOutcome({ method, code: 'OK' });
        respond(null, response);
      } catch (error) {
        const code = error instanceof CallRefused ? error.code : 'INTERNAL';
        onOutcome({ method, code }, error as Error);
        respond({ code: CODES[code], details: (error as Error).message });
      }
    };
    implementation[method] = handle;
  }
  return { definition, implementation };
}

const unused = (): never => {
  throw new Error('hotmount calls nobody by gRPC');
};
