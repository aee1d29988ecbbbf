import type { JsonObject } from '../../src/contract/json.ts';

/** Namespaces in which pods may ask for everything; elsewhere only for lxcfs. */
export const ALLOWED = 'edge-*';

/** MiB: by its size a class knows a disk. */
export const RAW_SIZE = 24;

/**
 * The policy that all files start with. The media class `usb` takes file systems with these UUIDs; the device class `raw` takes zram disks
 * of RAW_SIZE without one. Both take also what was there when the node started, as the disks of tests are when it has crashed.
 */
export const policyFor = (uuids: string): JsonObject => ({
  apiVersion: 'hotmount.io/v1alpha1',
  kind: 'Policy',
  mediaClasses: [{ name: 'usb', match: [{ uuid: [uuids] }, { uuid: [uuids], removable: false }] }],
  deviceClasses: [
    {
      name: 'raw',
      match: [
        {
          subsystem: ['block'],
          devname: ['zram*'],
          minSize: `${RAW_SIZE}Mi`,
          maxSize: `${RAW_SIZE}Mi`,
          removable: false,
        },
      ],
      access: 'rw',
    },
  ],
  rules: [
    { name: 'everyone', namespaces: ['*'], allow: { lxcfs: true } },
    {
      name: 'edge',
      namespaces: [ALLOWED],
      allow: {
        live: true,
        media: ['usb'],
        devices: ['raw'],
        dev: ['/host-dev'],
        propagation: ['None', 'HostToContainer', 'Bidirectional'],
        capabilities: ['NET_ADMIN', 'NET_RAW'],
        uevents: ['kernel', 'udevd'],
        privileged: true,
      },
    },
  ],
});
