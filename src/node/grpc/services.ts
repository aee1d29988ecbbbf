import type {
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';

/** Codes of gRPC (google.golang.org/grpc/codes), those that are answered here. */
const CODES = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
export type Code = keyof typeof CODES;

/** A call that is not done. */
export class CallRefused extends Error {
  override readonly name = 'CallRefused';
  readonly code: Code;

  constructor(code: Code, message: string) {
    super(message);
    this.code = code;
  }
}

interface Messages<Request, Response> {
  readonly read: (bytes: Uint8Array) => Request;
  readonly write: (response: Response) => Buffer;
}

/** One call of a service: how its messages are read and written, and what it does. */
export interface Call<Request, Response> extends Messages<Request, Response> {
  /** @throws CallRefused; anything else is an error of ours */
  readonly answer: (request: Request) => Response;
}

/** Who has called and gets one answer after the other. */
export interface Listener<Response> {
  send(response: Response): void;
  end(): void;
}

/** A call that is answered again and again, as long as the caller listens. */
export interface Watch<Request, Response> extends Messages<Request, Response> {
  /** What it returns is called when the caller has gone. */
  readonly watch: (request: Request, listener: Listener<Response>) => () => void;
}

type AnyCall = Call<unknown, unknown> | Watch<unknown, unknown>;

/** Binds the two types of a call together. */
export const call = <Request, Response>(
  made: Call<Request, Response> | Watch<Request, Response>,
): Call<unknown, unknown> | Watch<unknown, unknown> => made as unknown as AnyCall;

/** What became of a call. */
export interface Outcome {
  readonly method: string;
  /** `OK`, or the name of gRPC's code. */
  readonly code: string;
}
/** Told of every call that could be read. */
export type OnOutcome = (outcome: Outcome, error?: Error) => void;

/** A service of gRPC, with these calls and no others: all else is answered `UNIMPLEMENTED`. */
export interface Service {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** @param name as its .proto says, `csi.v1.Node` */
export function defineService(name: string, calls: Readonly<Record<string, AnyCall>>, onOutcome: OnOutcome): Service {
  const definition: Record<string, MethodDefinition<unknown, unknown>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [method, made] of Object.entries(calls)) {
    definition[method] = {
      path: `/${name}/${method}`,
      requestStream: false,
      responseStream: 'watch' in made,
      requestDeserialize: made.read,
      responseSerialize: made.write,
      // Of clients, which we are none of.
      requestSerialize: unused,
      responseDeserialize: unused,
    };
    implementation[method] = 'watch' in made ? watching(method, made, onOutcome) : answering(method, made, onOutcome);
  }
  return { definition, implementation };
}

const answering =
  (method: string, { answer }: Call<unknown, unknown>, onOutcome: OnOutcome): handleUnaryCall<unknown, unknown> =>
  ({ request }, respond) => {
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

const watching =
  (
    method: string,
    { watch }: Watch<unknown, unknown>,
    onOutcome: OnOutcome,
  ): handleServerStreamingCall<unknown, unknown> =>
  (stream) => {
    const stop = watch(stream.request, {
      send: (response) => void stream.write(response),
      end: () => stream.end(),
    });
    stream.on('cancelled', stop);
    onOutcome({ method, code: 'OK' });
  };

const unused = (): never => {
  throw new Error('hotmount calls nobody by gRPC');
};
