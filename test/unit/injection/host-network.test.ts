import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { inject } from '../../../src/injection/index.ts';
import { parsePolicy } from '../../../src/policy/index.ts';
import { violations } from './kubernetes-rules.ts';

const policy = parsePolicy(`
apiVersion: hotmount.io/v1alpha1
kind: Policy
rules: [{ name: all, namespaces: ["*"], allow: { uevents: [udev] } }]
`);
const context = { namespace: 'shop', namespaceLabels: { 'pod-security.kubernetes.io/enforce': 'privileged' } };
const injected = (spec: JsonObject) =>
  inject({ metadata: { annotations: { 'hotmount.io/uevents': 'udev' } }, spec }, context, policy);

const app = (...ports: JsonObject[]): JsonObject => ({ name: 'app', ports });
const http = { containerPort: 8080 };

describe('the host network, where uevents: udev asks for it,', () => {
  it.each<[string, JsonObject]>([
    ['without ports', { containers: [app()] }],
    ['with different ports', { containers: [app(http, { containerPort: 8081 })] }],
    ['with one port for TCP and UDP', { containers: [app(http, { ...http, protocol: 'UDP' })] }],
    [
      'with one port on two addresses',
      { containers: [app({ ...http, hostIP: '::1' }, { ...http, hostIP: '127.0.0.1' })] },
    ],
    ['with the hostPort that it is to have', { containers: [app({ ...http, hostPort: 8080 })] }],
    [
      'with a port that an init container has, too',
      { containers: [app(http)], initContainers: [{ ...app(http), name: 'i' }] },
    ],
    [
      'with an init container of another hostPort',
      { containers: [app()], initContainers: [app({ ...http, hostPort: 1 })] },
    ],
    [
      'with sysctls that are not of the network',
      { containers: [app()], securityContext: { sysctls: [{ name: 'kernel.shmmax' }] } },
    ],
    ['where the pod has it already', { hostNetwork: true, dnsPolicy: 'Default', containers: [app()] }],
  ])('is given to a pod %s', (_, spec) => {
    const { pod, denials } = injected(spec);
    expect(denials).toEqual([]);
    expect(pod['spec']).toMatchObject({ hostNetwork: true });
    expect([...violations(pod)]).toEqual([]);
  });

  it.each<[string, JsonObject, RegExp]>([
    [
      'another hostPort',
      { containers: [app({ ...http, hostPort: 80 })] },
      /port 8080 in container "app" with another hostPort/,
    ],
    ['one port twice', { containers: [app(http, http)] }, /port 8080 in container "app" a second time/],
    [
      'one port in two containers',
      { containers: [app(http), { ...app(http), name: 'b' }] },
      /in container "b" a second time/,
    ],
    [
      'one port twice in an init container',
      { containers: [app()], initContainers: [{ ...app(http, http), name: 'i' }] },
      /"i" a second/,
    ],
    [
      'a network sysctl',
      { containers: [app()], securityContext: { sysctls: [{ name: 'net.core.somaxconn' }] } },
      /the sysctl "net.core/,
    ],
    [
      'one written with slashes',
      { containers: [app()], securityContext: { sysctls: [{ name: 'net/core/rmem' }] } },
      /"net\/core\/rmem"/,
    ],
    ['a hostnameOverride', { containers: [app()], hostnameOverride: 'web' }, /a hostnameOverride/],
  ])('is refused to a pod with %s, which the API server would refuse', (_, spec, message) => {
    const { denials } = injected(spec);
    expect(denials.map(({ reason }) => reason)).toEqual(['host_network_conflict']);
    expect(denials[0]?.message).toMatch(message);
    expect(violations({ spec: { ...spec, hostNetwork: true } }).size).toBeGreaterThan(0);
  });

  it('moves dnsPolicy along from ClusterFirst alone', () => {
    const dnsAfter = (dnsPolicy: string | null) =>
      (injected({ dnsPolicy, containers: [app()] }).pod['spec'] as JsonObject)['dnsPolicy'];
    expect(dnsAfter(null)).toBe('ClusterFirstWithHostNet');
    expect(dnsAfter('ClusterFirst')).toBe('ClusterFirstWithHostNet');
    expect(dnsAfter('None')).toBe('None');
    expect(dnsAfter('Default')).toBe('Default');
  });
});
