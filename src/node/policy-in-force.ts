import type { Logger } from '../observability/logger.ts';
import { digestOf } from '../policy/digest.ts';
import type { Policy } from '../policy/index.ts';
import { keepLastPolicy } from './run-dir/last-policy.ts';
import type { RunDir } from './run-dir/run-dir.ts';
import type { NodeStatus } from './status.ts';

export interface PolicySource {
  readonly policy: Policy;
  readonly policyText: string;
  /** Where the policy comes from, for people. */
  readonly policySource: string;
  /** The policy's file, undefined where it is the built-in one. */
  readonly policyFile: string | undefined;
}

/** The policy that the daemon goes by, kept in the run dir for the next start, and why it is not the newest. */
export class PolicyInForce {
  readonly #runDir: RunDir;
  readonly #source: PolicySource;
  readonly #log: Logger;
  readonly #startedAt = new Date().toISOString();
  #current: Policy;
  #digest: string;
  #since: string;
  #problem: string | undefined;

  constructor(runDir: RunDir, source: PolicySource, log: Logger) {
    this.#runDir = runDir;
    this.#source = source;
    this.#log = log;
    this.#current = source.policy;
    this.#digest = digestOf(source.policyText);
    this.#since = this.#keep(source.policyText);
  }

  get current(): Policy {
    return this.#current;
  }

  replace(policy: Policy, text: string): void {
    this.#current = policy;
    this.#digest = digestOf(text);
    this.#since = this.#keep(text);
    this.#problem = undefined;
  }

  /** What the file says now cannot be used: the policy stays as it is. */
  refuse({ message }: Error): void {
    this.#problem = message;
  }

  status(): NodeStatus['policy'] {
    return {
      source: this.#source.policySource,
      digest: this.#digest,
      since: this.#since,
      mediaClasses: this.#current.mediaClasses.map(({ name }) => name),
      deviceClasses: this.#current.deviceClasses.map(({ name }) => name),
      ...(this.#problem ? { problem: this.#problem } : {}),
    };
  }

  #keep(text: string): string {
    const { policyFile } = this.#source;
    return policyFile === undefined ? this.#startedAt : keepLastPolicy(this.#runDir, policyFile, text, this.#log);
  }
}
