/** auto: the node daemon starts `hotmount lxcfs` where none is running. external: another pod does. off: none is wanted. */
export const LXCFS_MODES = ['auto', 'external', 'off'] as const;
export type LxcfsMode = (typeof LXCFS_MODES)[number];
