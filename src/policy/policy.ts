import type { Feature } from '../contract/annotations.ts';
import type { LxcfsView, PropagationMode, UeventAccess } from '../contract/wants.ts';

export interface LxcfsPolicy {
  /** What `lxcfs: "true"` means. */
  readonly views: readonly LxcfsView[];
  /** What pods get in place of a view that tells the node's values though it should not: lxcfs's file all the same, or the node's own. */
  readonly onUntrue: 'keep' | 'node';
}

/** A policy that has been parsed and checked: all optional parts filled in, sizes in bytes, names resolved. */
export interface Policy {
  readonly onViolation: 'deny' | 'warn';
  readonly onConflict: 'deny' | 'keep';
  /** What `hotmount.io/schedule` adds: a node affinity for labels, or a request of extended resources. */
  readonly scheduleBy: 'label' | 'resource';
  readonly lxcfs: LxcfsPolicy;
  readonly mediaClasses: readonly MediaClass[];
  readonly deviceClasses: readonly DeviceClass[];
  readonly rules: readonly Rule[];
}

export interface MediaClass {
  readonly name: string;
  /** Any of these; within one, all. */
  readonly match: readonly MediaMatch[];
  readonly mount: {
    readonly readOnly: boolean;
    readonly options: readonly string[];
    readonly nameBy: readonly ('label' | 'uuid' | 'devname')[];
    /** What becomes of a dirty disk that cannot be written. Undefined: it is mounted read-only. */
    readonly ifDirty?: 'readOnly' | 'fail' | undefined;
    /** To whom the disk's root appears to belong. Undefined: 1000 on a removable disk that is writable, nobody else on others. */
    readonly owner?: Owner | undefined;
    /** Permission bits of all files and directories, where the file system has none of its own. */
    readonly mode?: number | undefined;
  };
}

/** What media and device classes match in the same way. Lists are globs, any of which may match. */
export interface HardwareMatch {
  readonly bus?: readonly string[] | undefined;
  readonly devname?: readonly string[] | undefined;
  /** The device's own words, with those below. */
  readonly vendor?: readonly string[] | undefined;
  readonly model?: readonly string[] | undefined;
  readonly product?: readonly string[] | undefined;
  readonly serial?: readonly string[] | undefined;
  /** `vendor:product`, lower-case hexadecimal. */
  readonly usb?: readonly string[] | undefined;
  /** `class/subclass/protocol` of one of its interfaces. */
  readonly interface?: readonly string[] | undefined;
  /** The port, as in udev's ID_PATH. */
  readonly path?: readonly string[] | undefined;
  /** This and the sizes, in bytes, are those of disks. */
  readonly removable?: boolean | undefined;
  readonly minSize?: number | undefined;
  readonly maxSize?: number | undefined;
}

export interface MediaMatch extends HardwareMatch {
  readonly fsType?: readonly string[] | undefined;
  readonly label?: readonly string[] | undefined;
  readonly uuid?: readonly string[] | undefined;
  /** Left out, it is none that is for firmware, boot loaders or rescue. */
  readonly partType?: readonly string[] | undefined;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface DeviceClass {
  readonly name: string;
  readonly match: readonly DeviceMatch[];
  /** Left away from the names of nodes; undefined: as device-directory.ts finds it. */
  readonly directory?: string | undefined;
  /** How many containers may have its devices at a time; undefined: any number. */
  readonly maxContainers?: number | undefined;
  readonly access: 'r' | 'w' | 'rw';
  /** Permission bits of the node. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface DeviceMatch extends HardwareMatch {
  readonly subsystem?: readonly string[] | undefined;
  /** Of udev: the device has all of these, each with a value that one of its globs matches. */
  readonly properties?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface Rule {
  readonly name: string;
  readonly namespaces: readonly string[];
  readonly namespaceLabels?: LabelGlobs | undefined;
  readonly serviceAccounts?: readonly string[] | undefined;
  readonly podLabels?: LabelGlobs | undefined;
  readonly runtimeClasses?: readonly string[] | undefined;
  readonly allow: Allow;
  /** Values as if annotated. */
  readonly defaults: Readonly<Partial<Record<Feature, string>>>;
  /** The defaults win over what the pod says. */
  readonly enforce: boolean;
}

/** All of these labels, each with a value that one of its globs matches. */
export type LabelGlobs = Readonly<Record<string, readonly string[]>>;

export interface Allow {
  readonly lxcfs: boolean;
  readonly privileged: boolean;
  readonly live: boolean;
  readonly media: readonly string[];
  readonly devices: readonly string[];
  /** Globs of alias paths. */
  readonly dev: readonly string[];
  readonly propagation: readonly PropagationMode[];
  /** Without CAP_; ALL allows every one. */
  readonly capabilities: readonly string[];
  readonly uevents: readonly UeventAccess[];
}
