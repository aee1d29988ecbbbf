import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { issueCertificate } from '../../src/admission/certificates/issue.ts';
import type { JsonObject } from '../../src/contract/json.ts';

/** Somebody else's webhook, which adds a sidecar to every pod that it has not added one to. */
export class FakeSidecarInjector {
  /** Pods it was asked about. */
  calls = 0;
  readonly #server: Server;
  readonly #ca: string;

  private constructor(server: Server, ca: string) {
    this.#server = server;
    this.#ca = ca;
  }

  static async listen(): Promise<FakeSidecarInjector> {
    const { cert, key, ca } = await issueCertificate({ names: ['127.0.0.1'], days: 1 });
    const server = createServer({ cert, key });
    const injector = new FakeSidecarInjector(server, ca);
    server.on('request', async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(injector.#answer(JSON.parse(body))));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return injector;
  }

  /** Its name sorts behind ours: API servers call webhooks in the order of their configurations' names. */
  configuration(namespace: string): JsonObject {
    const { port } = this.#server.address() as AddressInfo;
    return {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'zz-sidecar' },
      webhooks: [
        {
          name: 'sidecar.example.com',
          clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: Buffer.from(this.#ca).toString('base64') },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          reinvocationPolicy: 'IfNeeded',
        },
      ],
    };
  }

  close(): Promise<unknown> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  // biome-ignore lint/suspicious/noExplicitAny: a review, as the API server sends it
  #answer({ request }: any): object {
    this.calls++;
    const { containers } = request.object.spec;
    const present = containers.some(({ name }: { name: string }) => name === 'sidecar');
    const patch = [{ op: 'add', path: '/spec/containers/-', value: { name: 'sidecar', image: 'sidecar' } }];
    return {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: {
        uid: request.uid,
        allowed: true,
        ...(!present && { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
      },
    };
  }
}
