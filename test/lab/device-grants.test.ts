import { expect, onTestFinished, test } from 'vitest';
import type { DeviceRule } from '../../src/linux/device-cgroup/index.ts';
import { SOAK } from '../system/support/suite.ts';
import { describeInLab, describeWithQemu } from './describe-in-lab.ts';
import { type Lab, startLab } from './lab.ts';

/** ms. Emulated, Node and vitest take their time. */
const DEADLINE = 900_000;

describeInLab('device grants on a pure cgroup v2 of another kernel', (lab) => {
  // The suites are those of outside, where crun cannot run, and v2 lies beside v1. All of them take many minutes here.
  test.each([
    ['device-grants', ['wildcard rules, hardened: true']],
    [
      'device-cgroups',
      ['whole container', 'program anew', 'one program a parent', 'another version', 'cgroup namespace'],
    ],
  ])(
    'hold for containers of runc and crun: test/system/%s, with %j',
    async (suite, some) => {
      const filter = SOAK ? '' : `-t '${some.join('|')}'`;
      const { code, stdout } = await lab().run(
        `HOTMOUNT_REQUIRE_SYSTEM=1 vitest run --project system --testTimeout 600000 --reporter verbose ${filter} test/system/${suite}.test.ts 2>&1`,
        { timeoutMs: DEADLINE },
      );
      expect(code, stdout).toBe(0);
      expect(stdout).toMatch(suite === 'device-grants' ? /✓.*of crun/ : /✓.*on cgroup v2/);
      for (const name of some) expect(stdout).toMatch(new RegExp(`✓.*${name}`));
    },
    DEADLINE,
  );
});

describeWithQemu('a device grant in a scope of systemd', () => {
  test('goes on through daemon-reload, daemon-reexec and set-property, and its end leaves systemd’s own', async () => {
    const lab = await startLab({ init: 'systemd' });
    onTestFinished(() => lab.stop());
    await lab.sh('systemctl is-system-running --wait; systemctl reset-failed');
    const scope = lab.spawn(
      'exec systemd-run -q --scope --unit box --slice machine -p DevicePolicy=closed sh -c "echo started; exec sleep 100000"',
    );
    await scope.waitForOutput(/started/);
    const cgroup = '/sys/fs/cgroup/machine.slice/box.scope';

    expect(await opens(lab, cgroup)).toBe('');
    // As a daemon in a pod: in a cgroup namespace, and without a sight of the node's cgroups but through its first process.
    const inPod = 'unshare -C -m sh -c \'umount -l /sys/fs/cgroup && exec "$@"\' sh';
    const kmsg = { type: 'char', major: 1, minor: 11 } as const;
    expect(await reconcile(lab, cgroup, [{ ...kmsg, access: 'w' }], inPod)).toEqual([
      [`/proc/1/root${cgroup}`, { state: 'granted' }],
    ]);
    expect(await opens(lab, cgroup)).toBe('w');
    expect(await reconcile(lab, cgroup, [{ ...kmsg, access: 'r' }])).toEqual([[cgroup, { state: 'granted' }]]);
    expect(await opens(lab, cgroup)).toBe('r');
    for (const command of [
      'daemon-reload',
      'daemon-reexec',
      'set-property --runtime box.scope "DeviceAllow=/dev/fuse rw"',
      'set-property --runtime box.scope MemoryMax=64M',
      'daemon-reload',
    ]) {
      await lab.sh(`systemctl ${command}`);
      expect(await opens(lab, cgroup), command).toBe('r');
    }
    expect(await reconcile(lab, cgroup, [])).toEqual([]);
    expect(await opens(lab, cgroup)).toBe('');
    expect(await opens(lab, cgroup, '/dev/null')).toBe('rw');
  }, 600_000);
});

/** What a process in the cgroup may open a device for. */
const opens = (lab: Lab, cgroup: string, device = '/dev/kmsg'): Promise<string> =>
  lab.sh(`echo $BASHPID > ${cgroup}/cgroup.procs; (: < ${device}) && printf r; (: > ${device}) && printf w; true`);

/** Reconciles as the daemon does, and gives what comes of it; without rules, nothing is wanted any more. */
async function reconcile(lab: Lab, cgroup: string, rules: readonly DeviceRule[], prefix = ''): Promise<unknown> {
  const script = `import { DeviceGrants, deviceCgroupOf } from './src/linux/device-cgroup/index.ts';
    const pid = Number(process.argv[1]), rules = JSON.parse(process.argv[2]);
    const wanted = rules.length > 0 ? [{ cgroup: deviceCgroupOf(pid), rules }] : [];
    console.log(JSON.stringify([...new DeviceGrants().reconcile(wanted)]));`;
  const output = await lab.sh(
    `${prefix} node --input-type=module -e "$SCRIPT" "$(head -n 1 ${cgroup}/cgroup.procs)" "$RULES"`,
    {
      env: { SCRIPT: script, RULES: JSON.stringify(rules) },
    },
  );
  return JSON.parse(output);
}
