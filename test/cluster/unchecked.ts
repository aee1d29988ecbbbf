import type { JsonObject } from '../../src/contract/json.ts';
import type { Case } from '../golden/case.ts';

/** The conflicts that the core denies since the API server would; the others are denied because the pod could not work. */
export const REFUSED_BY_API_SERVER = [
  'volume_name_taken',
  'mount_path_taken',
  'privilege_escalation_forbidden',
  'bidirectional_needs_privileged',
  'recursive_read_only_conflict',
  'windows_pod',
  'host_network_conflict',
];

export interface Variant {
  readonly name: string;
  readonly reason: string;
  readonly input: JsonObject;
  /** What the pod would be, had the core not looked. */
  readonly unchecked: JsonObject;
  /** What the API server says of it. */
  readonly message: RegExp;
}

// biome-ignore lint/suspicious/noExplicitAny: pods as they stand in the cases, changed in place
type Pod = any;

const mount = (name: string, mountPath: string, more: object = {}) => ({ name, mountPath, readOnly: true, ...more });
const hostPath = (name: string, path: string, type = 'Directory') => ({ name, hostPath: { path, type } });

/** By the case: its unchecked variant, and what the API server says. */
const UNCHECKED: Readonly<Record<string, { readonly message: RegExp; change(pod: Pod): void }>> = {
  'conflict-volume-name': {
    message: /spec\.volumes\[1\]\.name: Duplicate value/,
    change({ spec }) {
      spec.volumes.push(hostPath('hotmount-media-usb', '/run/hotmount/media/usb'));
    },
  },
  'conflict-mount-path': {
    message: /volumeMounts\[1\]\.mountPath: Invalid value: "\/media\/usb": must be unique/,
    change({ spec }) {
      spec.containers[0].volumeMounts.push(mount('hotmount-media-usb', '/media/usb'));
      spec.volumes.push(hostPath('hotmount-media-usb', '/run/hotmount/media/usb'));
    },
  },
  'conflict-in-one-container': {
    message: /volumeMounts\[1\]\.mountPath: Invalid value: "\/proc\/meminfo": must be unique/,
    change({ spec }) {
      spec.containers[1].volumeMounts.push(mount('hotmount-lxcfs-meminfo', '/proc/meminfo'));
      spec.volumes.push(hostPath('hotmount-lxcfs-meminfo', '/run/hotmount/lxcfs/proc/meminfo', 'File'));
    },
  },
  'capabilities-escalation': {
    message: /cannot set `allowPrivilegeEscalation` to false and `capabilities\.Add` CAP_SYS_ADMIN/,
    change({ spec }) {
      // It knows that spelling alone (pkg/apis/core/validation, ValidateSecurityContext); the core denies SYS_ADMIN as well.
      spec.containers[0].securityContext.capabilities = { add: ['CAP_SYS_ADMIN'] };
    },
  },
  'privileged-escalation': {
    message: /cannot set `allowPrivilegeEscalation` to false and `privileged` to true/,
    change({ spec }) {
      spec.containers[0].securityContext.privileged = true;
    },
  },
  'propagation-bidirectional-unprivileged': {
    message: /Bidirectional mount propagation is available only to privileged containers/,
    change({ spec }) {
      spec.containers[0].volumeMounts[0].mountPropagation = 'Bidirectional';
    },
  },
  'propagation-recursive-read-only': {
    message: /recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None/,
    change({ spec }) {
      spec.containers[0].volumeMounts[0].mountPropagation = 'HostToContainer';
    },
  },
  'windows-os': {
    message: /cannot be set for a windows pod/,
    change({ spec }) {
      spec.containers[0].securityContext = { capabilities: { add: ['NET_ADMIN'] } };
    },
  },
  'uevents-udev-host-port': {
    message: /must match `containerPort` when `hostNetwork` is true/,
    change({ spec }) {
      spec.hostNetwork = true;
    },
  },
  'uevents-udev-same-port': {
    message: /hostPort: Duplicate value/,
    change({ spec }) {
      spec.hostNetwork = true;
    },
  },
  'uevents-udev-sysctl': {
    message: /may not be specified when 'hostNetwork' is true/,
    change({ spec }) {
      spec.hostNetwork = true;
    },
  },
};

/** The variants of those of the cases that have one. Throws where a case is no longer there, or no longer denied. */
export function uncheckedVariants(cases: readonly Case[]): Variant[] {
  return Object.entries(UNCHECKED).map(([name, { message, change }]) => {
    const found = cases.find((one) => one.name === name);
    const reason = found?.denials[0];
    if (!found || reason === undefined) throw new Error(`there is no golden case ${name} that is denied`);
    const unchecked = structuredClone(found.input);
    change(unchecked);
    return { name, reason, input: found.input, unchecked, message };
  });
}
