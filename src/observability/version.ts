import packageJson from '../../package.json' with { type: 'json' };

/** build.ts puts it in; in a checkout there is none. */
declare const HOTMOUNT_COMMIT: string | undefined;

/** The version of hotmount that runs. */
export const VERSION: string = packageJson.version;

const COMMIT = typeof HOTMOUNT_COMMIT === 'string' ? HOTMOUNT_COMMIT : undefined;

/** How the user starts this program. */
export const COMMAND: string = COMMIT === undefined ? 'npm run -s hotmount --' : 'hotmount';

/** The version first, then what else tells two builds apart: the commit, and Node. */
export const FULL_VERSION: string = [
  VERSION,
  COMMIT === undefined ? 'run from sources' : `commit ${COMMIT}`,
  `Node ${process.versions.node}`,
].join(', ');
