import { describe, expect, it } from 'vitest';
import { misplacedAnnotations } from '../../../src/injection/index.ts';

describe('what was meant as an annotation', () => {
  const pod = { metadata: { labels: { 'hotmount.io/lxcfs': 'true' } }, spec: { containers: [] } };
  const messages = (object: Parameters<typeof misplacedAnnotations>[0]) =>
    misplacedAnnotations(object).map(({ message }) => message);

  it('is told of among the labels of a pod, of a workload and of its template', () => {
    const told = (path: string) =>
      `"hotmount.io/lxcfs" in ${path}.labels does nothing: write hotmount.io/lxcfs in ${path}.annotations`;
    expect(messages({ apiVersion: 'v1', kind: 'Pod', ...pod })).toEqual([told('metadata')]);
    const cronJob = { jobTemplate: { ...pod, spec: { template: pod } } };
    expect(messages({ apiVersion: 'batch/v1', kind: 'CronJob', metadata: pod.metadata, spec: cronJob })).toEqual([
      told('metadata'),
      told('spec.jobTemplate.metadata'),
      told('spec.jobTemplate.spec.template.metadata'),
    ]);
  });

  it('is told of in the wrong case, also for one container', () => {
    const annotations = { 'HotMount.io/Dev.web': 'true', 'hotmount.io/dev': 'true' };
    expect(messages({ apiVersion: 'v1', kind: 'Pod', metadata: { annotations } })).toEqual([
      '"HotMount.io/Dev.web" in metadata.annotations does nothing: write hotmount.io/dev.web in metadata.annotations',
    ]);
  });

  it('is not what is a label, or another’s', () => {
    const labels = { 'hotmount.io/defaults': 'enabled', 'hotmount.io/usb': 'true', 'example.com/lxcfs': 'true' };
    expect(messages({ apiVersion: 'v1', kind: 'Pod', metadata: { labels, annotations: labels } })).toEqual([]);
  });
});
