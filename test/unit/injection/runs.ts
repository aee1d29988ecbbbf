import { SOAK } from '../../settings.ts';

/** How often each property is tried: more than finds the usual slip, or, with HOTMOUNT_SOAK=1, for as long as a night has time. */
export const RUNS = SOAK ? 50_000 : 1_000;
/** Milliseconds. */
export const TIMEOUT = SOAK ? 3_600_000 : 120_000;
