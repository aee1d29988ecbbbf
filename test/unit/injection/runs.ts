/** How often each property is tried: more than finds the usual slip, or, with HOTMOUNT_SOAK=1, for as long as a night has time. */
const soak = process.env['HOTMOUNT_SOAK'] === '1';
export const RUNS = soak ? 50_000 : 1_000;
/** Milliseconds. */
export const TIMEOUT = soak ? 3_600_000 : 120_000;
