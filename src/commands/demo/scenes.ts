/** One of the examples, and what a newcomer is to see in it. */
export interface Scene {
  /** In examples/. */
  readonly file: string;
  readonly title: string;
  readonly sentence: string;
  readonly outcome: 'injected' | 'warned' | 'denied';
}

export const SCENES: readonly Scene[] = [
  {
    file: 'legacy-java.yaml',
    title: 'A /proc of its own',
    sentence: "Annotating the Deployment is enough: its pods see their own memory and CPUs, not the node's.",
    outcome: 'injected',
  },
  {
    file: 'cronjob.yaml',
    title: 'Only what is needed',
    sentence: 'Two files of /proc, for the pods of a CronJob.',
    outcome: 'injected',
  },
  {
    file: 'namespace-default.yaml',
    title: 'Without asking',
    sentence: 'The policy has a default for this namespace, which a pod without any annotation gets too.',
    outcome: 'injected',
  },
  {
    file: 'edge-copier.yaml',
    title: 'USB disks, while they are plugged in',
    sentence: 'Each disk appears below /media of the running pod, and goes when it is pulled.',
    outcome: 'injected',
  },
  {
    file: 'live.yaml',
    title: 'A disk for a pod that runs already',
    sentence: 'From then on, annotating the running pod gives it disks and devices, and takes them away again.',
    outcome: 'injected',
  },
  {
    file: 'sidecar.yaml',
    title: 'One container, not the other',
    sentence: 'The sidecar gets the disks, read-only; the database gets its own /proc/meminfo.',
    outcome: 'injected',
  },
  {
    file: 'serial-rig.yaml',
    title: 'Serial adapters, without privileged',
    sentence: 'Hot-plugged devices in a directory of the pod, and one capability.',
    outcome: 'injected',
  },
  {
    file: 'udevd.yaml',
    title: 'A udevd in a container',
    sentence: "One annotation for all that it takes: the node's /dev, two capabilities, a directory of its own.",
    outcome: 'injected',
  },
  {
    file: 'node-agent.yaml',
    title: 'What the node mounts later',
    sentence: "One container of two gets the node's /dev, and sees what is mounted below /srv from now on.",
    outcome: 'injected',
  },
  {
    file: 'warned.yaml',
    title: 'A warning',
    sentence: "A container's name is misspelt: the pod is admitted, and its author is told.",
    outcome: 'warned',
  },
  {
    file: 'denied.yaml',
    title: 'A denial',
    sentence: 'What no rule of the policy allows is refused, with what an admin could write to allow it.',
    outcome: 'denied',
  },
];
