/**
 * @peculiar/x509 finds its algorithms through tsyringe, which will not load without the metadata API of decorators, and asks it only
 * for the constructor parameters of classes that have none. So this is all of that API that is needed; a whole polyfill, where one
 * is loaded, stays.
 */
const reflect = Reflect as { getMetadata?: () => unknown; getOwnMetadata?: () => unknown };
reflect.getMetadata ??= () => undefined;
reflect.getOwnMetadata ??= () => undefined;

export {};
