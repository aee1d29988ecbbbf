import fc from 'fast-check';
import { SEED } from './settings.ts';

fc.configureGlobal({ seed: SEED });
