const WITHOUT_KOFFI =
  'this takes the package koffi, which is not here: the image of the webhook alone has none, and neither lxcfs nor mount(8); use the image of the nodes (docs/install.md, The image), or npm install hotmount';

/** What to say where the one dependency with native code is not there, which the webhook does without; undefined for another error. */
export const whatIsMissing = (error: unknown): string | undefined =>
  (error as NodeJS.ErrnoException | undefined)?.code === 'ERR_MODULE_NOT_FOUND' &&
  (error as Error).message.includes("'koffi'")
    ? WITHOUT_KOFFI
    : undefined;
