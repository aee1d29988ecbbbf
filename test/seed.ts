import fc from 'fast-check';

/**
 * The same inputs for the properties each time, so that a change is judged by itself and not by luck. What was never tried before is
 * the soak's to try: there each run draws anew, and prints the seed of what it finds.
 */
if (process.env['HOTMOUNT_SOAK'] !== '1') fc.configureGlobal({ seed: 1 });
