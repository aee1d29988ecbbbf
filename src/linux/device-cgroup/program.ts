import {
  add,
  and,
  andRegister,
  assemble,
  call,
  exit,
  jumpIfEqual,
  jumpIfNotEqual,
  jumpIfSame,
  type Line,
  label,
  load,
  loadMap,
  move,
  set,
  set64,
  shiftRight,
  store,
  xor,
} from './assembler.ts';
import { ACCESS } from './rule.ts';

/** Helper functions by their numbers (linux/bpf.h). Both retval ones since Linux 5.18. */
const HELPER = { mapLookup: 1, currentAncestorCgroupId: 123, getRetval: 186, setRetval: 187 } as const;

/** struct bpf_cgroup_dev_ctx: two bytes of type, two of access, then the number. */
const CONTEXT = { accessType: 0, major: 4, minor: 8 } as const;

/** BPF_DEVCG_DEV_* */
export const DEVICE_TYPE = { block: 1, char: 2 } as const;

/** Bytes of a key of the rules' map: a cgroup's id (8), a device's type, major and minor (4 each). */
export const KEY_SIZE = 20;
/** Bytes of a value: the access that is granted, in bits. */
export const VALUE_SIZE = 4;

const KEY = { cgroup: -24, type: -16, major: -12, minor: -8 } as const;

/**
 * The program that grants. It is asked last, after the programs of the cgroups below it, and speaks only where one of them said no: is the
 * opener in a cgroup, at this level of the hierarchy, that was granted this device with at least this access? Then the answer becomes yes.
 * Whatever else is the case, it changes nothing. So it costs next to nothing where access is allowed anyway, and where it is not, one
 * look into a hash map, however many rules there are.
 *
 * @param level of the cgroups that the rules name, 0 being the root of the whole hierarchy
 * @param rules descriptor of the map
 */
export const grantProgram = (level: number, rules: number): Buffer =>
  assemble([
    move(6, 1),
    call(HELPER.getRetval),
    jumpIfEqual(0, 0, 'done'),

    set(1, level),
    call(HELPER.currentAncestorCgroupId),
    store(64, 10, KEY.cgroup, 0),
    load(32, 7, 6, CONTEXT.accessType),
    move(1, 7),
    and(1, 0xffff),
    store(32, 10, KEY.type, 1),
    load(32, 1, 6, CONTEXT.major),
    store(32, 10, KEY.major, 1),
    load(32, 1, 6, CONTEXT.minor),
    store(32, 10, KEY.minor, 1),

    ...loadMap(1, rules),
    move(2, 10),
    add(2, KEY.cgroup),
    call(HELPER.mapLookup),
    jumpIfEqual(0, 0, 'done'),

    shiftRight(7, 16),
    load(32, 1, 0, 0),
    xor(1, ACCESS.mknod | ACCESS.read | ACCESS.write),
    andRegister(1, 7),
    jumpIfNotEqual(1, 0, 'done'), // more was asked for than was granted

    set(1, 0),
    call(HELPER.setRetval),
    label('done'),
    set(0, 1),
    exit(),
  ]);

/** A cgroup lies this deep at most: far beyond any that there is. */
const DEEPEST = 64;

/** A program that returns how deep a cgroup lies, given that it is one that the caller is in; 255 where it is not. */
export const levelProgram = (cgroup: bigint): Buffer =>
  assemble([
    ...set64(6, cgroup),
    ...Array.from({ length: DEEPEST }, (_, level): Line[] => [
      set(7, level),
      move(1, 7),
      call(HELPER.currentAncestorCgroupId),
      jumpIfSame(0, 6, 'found'),
    ]).flat(),
    set(7, 255),
    label('found'),
    move(0, 7),
    exit(),
  ]);
