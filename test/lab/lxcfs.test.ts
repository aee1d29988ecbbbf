import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';

/** Emulated, everything takes ten times as long. */
const TIMEOUT = 900_000;

describeInLab('lxcfs on cgroup v2 and Linux 6.1, which cannot mount beneath', (lab) => {
  test(
    'heals itself in running containers and nested user namespaces: the system tests, in the guest',
    async () => {
      const { code, stdout, stderr } = await lab().run(
        'HOTMOUNT_REQUIRE_SYSTEM=1 HOTMOUNT_PATIENCE=20 node node_modules/vitest/vitest.mjs run --project system test/system/lxcfs.test.ts -t "active instance has|locked" --testTimeout 400000 --hookTimeout 120000',
        { timeoutMs: TIMEOUT },
      );
      expect(code, `${stdout}${stderr}`).toBe(0);
    },
    TIMEOUT,
  );
});
