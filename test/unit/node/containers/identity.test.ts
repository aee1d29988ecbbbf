import { describe, expect, it } from 'vitest';
import { parseContainerCgroup } from '../../../../src/node/containers/identity.ts';

const ID = '0123456789abcdef'.repeat(4);
const UID = '0a1b2c3d-1111-2222-3333-444455556666';

describe('parseContainerCgroup', () => {
  it.each([
    ['cgroupfs driver', `5:devices:/kubepods/burstable/pod${UID}/${ID}\n`],
    ['cgroupfs driver, guaranteed, cgroup v2', `0::/kubepods/pod${UID}/${ID}\n`],
    [
      'systemd driver, containerd',
      `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${UID.replaceAll('-', '_')}.slice/cri-containerd-${ID}.scope\n`,
    ],
    [
      'systemd driver, CRI-O',
      `0::/kubepods.slice/kubepods-pod${UID.replaceAll('-', '_')}.slice/crio-${ID}.scope/container\n`,
    ],
    [
      'containerd behind kubelet’s own cgroup',
      `0::/system.slice/containerd.service/kubepods-burstable-pod${UID.replaceAll('-', '_')}.slice:cri-containerd:${ID}\n`,
    ],
  ])('finds pod and container: %s', (_, cgroup) => {
    expect(parseContainerCgroup(cgroup)).toEqual({ podUid: UID, containerId: ID });
  });

  it('finds a container that Kubernetes did not start', () => {
    expect(parseContainerCgroup(`0::/docker/${ID}\n`)).toEqual({ containerId: ID });
  });

  it.each(['0::/\n', '0::/user.slice/user-0.slice/session-1.scope\n', ''])('finds none in %j', (cgroup) => {
    expect(parseContainerCgroup(cgroup)).toEqual({});
  });
});
