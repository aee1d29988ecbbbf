import type { JsonObject } from '../../src/contract/json.ts';
import { BUSYBOX } from './images.ts';

type Annotations = Readonly<Record<string, string>>;

/** A container that does nothing until it is killed. It asks for little of the machine: nodes here are small. */
const container = (name: string, more: JsonObject = {}): JsonObject => ({
  name,
  image: BUSYBOX,
  command: ['sleep', 'infinity'],
  resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { memory: '256Mi', cpu: '1' } },
  ...more,
});

/** @param more of its spec @param app of its one container */
export const pod = (
  name: string,
  annotations: Annotations = {},
  more: JsonObject = {},
  app: JsonObject = {},
): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, annotations, labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 0, containers: [container('app', app)], ...more },
});

export const deployment = (name: string, replicas = 1, more: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 0, containers: [container('app')], ...more },
    },
  },
});

export const namespace = (name: string, podSecurity?: 'privileged' | 'baseline' | 'restricted'): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: podSecurity ? { 'pod-security.kubernetes.io/enforce': podSecurity } : {} },
});
