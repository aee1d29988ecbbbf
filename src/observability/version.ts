import packageJson from '../../package.json' with { type: 'json' };

/** The version of hotmount that runs. */
export const VERSION: string = packageJson.version;
