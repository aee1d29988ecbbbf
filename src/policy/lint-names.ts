import { quote } from '../contract/suggest.ts';
import { isExclusion } from './globs.ts';
import type { Rule } from './policy.ts';

interface Kind {
  readonly what: string;
  /** The characters of its names (apimachinery, IsDNS1123Label and IsDNS1123Subdomain). */
  readonly characters: RegExp;
  readonly said: string;
}
const LABEL = { characters: /^[-a-z0-9]*$/, said: 'a-z, 0-9 and "-"' };
const SUBDOMAIN = { characters: /^[-.a-z0-9]*$/, said: 'a-z, 0-9, "-" and "."' };
const NAMESPACE: Kind = { what: 'namespace', ...LABEL };
const SERVICE_ACCOUNT: Kind = { what: 'service account', ...SUBDOMAIN };
const RUNTIME_CLASS: Kind = { what: 'runtime class', ...SUBDOMAIN };

/** The globs of a rule that match no name that Kubernetes allows, a phrase each: exclusions that exclude nothing among them. Pure. */
export const nameDoubts = ({ namespaces, serviceAccounts, runtimeClasses }: Rule): readonly string[] => [
  ...doubts(namespaces, NAMESPACE),
  ...doubts(serviceAccounts, SERVICE_ACCOUNT),
  ...doubts(runtimeClasses, RUNTIME_CLASS),
];

const doubts = (globs: readonly string[] | undefined, kind: Kind): readonly string[] =>
  (globs ?? [])
    .filter((glob) => !kind.characters.test(literalCharacters(glob)))
    .map((glob) => `no ${kind.what} matches ${quote(glob)}: names have ${kind.said} only${remedy(glob, kind)}`);

/** What a matching name has in any case, without the rest of the glob. */
const literalCharacters = (glob: string): string =>
  withoutBang(glob)
    .replace(/(\\.)|\[(?:\\.|[^\]\\])*\]|[*?]/gsu, '$1')
    .replace(/\\(.)/gsu, '$1');

const withoutBang = (glob: string): string => (isExclusion(glob) ? glob.slice(1) : glob);

function remedy(glob: string, kind: Kind): string {
  if (kind === SERVICE_ACCOUNT) {
    // As RBAC and the API server's log write the user that it is.
    const [, name] = /^!?(?:system:serviceaccount:)?[^:/]+[:/]([^:/]+)$/.exec(glob) ?? [];
    if (name !== undefined) return `; write ${quote(name)}, and its namespace under namespaces`;
  }
  const lower = glob.toLowerCase();
  return kind.characters.test(literalCharacters(lower)) ? `; write ${quote(lower)}` : '';
}
