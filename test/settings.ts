/** The big repetitions, and inputs that were never tried before: for as long as a night has time. */
export const SOAK = process.env['HOTMOUNT_SOAK'] === '1';

/** What cannot run on this machine fails rather than being skipped: in CI. */
export const REQUIRED = process.env['HOTMOUNT_REQUIRE_SYSTEM'] === '1';

/**
 * Of everything that is drawn at random. The same each time, so that a change is judged by itself and not by luck; what was never tried
 * before is the soak's to try. Tests that draw have it in their name.
 */
export const SEED = Number(process.env['HOTMOUNT_SEED'] ?? (SOAK ? Date.now() % 1_000_000 : 1));
