import type { V1ConfigMap } from '@kubernetes/client-node';
import type { ObjectName } from '../contract/object-name.ts';
import type { Logger } from '../observability/logger.ts';
import { POLICY_KEY, type Policy, PolicyError, parsePolicy } from '../policy/index.ts';
import type { Kubernetes } from './client.ts';
import { EVENT_LIFE_MS, recordEvent } from './events.ts';
import { keepWatching } from './watch.ts';

export interface PolicyListener {
  onChange(policy: Policy): void;
  /** The ConfigMap is broken or gone; the last good policy stays in force. */
  onError(error: { readonly message: string }): void;
}

/**
 * The policy in a ConfigMap, watched. What cannot be used changes nothing: it is told to the listener and, as an Event, to whoever
 * describes the ConfigMap. The last good policy also stays in force while the API server is away and when the ConfigMap is deleted.
 *
 * Resolves with the first good policy. Where there is none, that takes until somebody writes one.
 */
export function openPolicyConfigMap(
  kubernetes: Kubernetes,
  { namespace, name }: ObjectName,
  listener: PolicyListener,
  log: Logger,
): Promise<{ current(): Policy; close(): void }> {
  const first = Promise.withResolvers<{ current(): Policy; close(): void }>();
  const what = `ConfigMap ${namespace}/${name}`;
  let policy: Policy | undefined;
  let text: string | undefined;
  let broken = false;
  let reminder: NodeJS.Timeout | undefined;

  const refuse = (problem: string): void => {
    broken = true;
    listener.onError({ message: problem });
    if (!policy) log.error(`waiting for a policy that can be used in ${what}`);
  };
  const look = (configMap: V1ConfigMap): void => {
    const found = configMap.data?.[POLICY_KEY];
    if (found !== undefined && found === text) return;
    text = found;
    clearInterval(reminder);
    try {
      if (found === undefined) throw new PolicyError(what, [], { summary: `has no data["${POLICY_KEY}"]` });
      const parsed = parsePolicy(found, { file: POLICY_KEY });
      const isFirst = policy === undefined;
      policy = parsed;
      log.info({ configMap: `${namespace}/${name}` }, isFirst ? 'policy loaded' : 'policy reloaded');
      // The first one is not news, but that it can be used is, where one before it could not.
      if (!isFirst || broken) listener.onChange(parsed);
      if (broken) tell(configMap, 'Normal', 'PolicyInForce', 'The policy is in force.');
      broken = false;
      if (isFirst) first.resolve(source);
    } catch (error) {
      const { message } = error as Error;
      refuse(error instanceof PolicyError ? message : `a bug in hotmount: ${message}`);
      const complain = () => tell(configMap, 'Warning', 'PolicyRefused', `${stays(policy)} ${message}`);
      complain();
      // Whoever looks in the morning shall find it, too.
      reminder = setInterval(complain, EVENT_LIFE_MS).unref();
    }
  };
  const tell = (configMap: V1ConfigMap, type: 'Normal' | 'Warning', reason: string, message: string): void =>
    void recordEvent(kubernetes, configMap, { type, reason, message }, log);

  const watched = keepWatching<V1ConfigMap>(
    kubernetes,
    {
      what,
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      name,
      onObject: look,
      onGone() {
        text = undefined;
        clearInterval(reminder);
        refuse(`${what} has been deleted`);
      },
      onListed() {
        if (policy === undefined && !broken) refuse(`there is no ${what}`);
      },
    },
    log,
  );
  const source = {
    current: () => policy as Policy,
    close() {
      clearInterval(reminder);
      watched.close();
    },
  };
  return first.promise;
}

const stays = (policy: Policy | undefined): string =>
  policy ? 'The last good policy stays in force:' : 'There is no policy in force, and annotated pods are rejected:';
