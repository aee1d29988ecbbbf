import { loadavg } from 'node:os';
import { startLab } from '../test/lab/lab.ts';
import { treeOf } from '../test/lxcfs-trees.ts';

/**
 * Processor time that one read of a file costs, the reader's and lxcfs's: the kernel's own file against that of each lxcfs, by a reader with
 * limits on cgroup v2. In the lab's virtual machine, since one machine has one kind of cgroups; where that is emulated only the ratios say
 * anything. Times come in ticks of 10 ms, so it takes thousands of reads.
 */
const READS = Number(process.env['READS'] ?? 3000);
const FILES = ['meminfo', 'stat'];
const RUN_DIR = '/run/hotmount';
const CGROUP = '/sys/fs/cgroup/bench';

const lab = await startLab();
try {
  await lab.sh(`mkdir ${CGROUP}; echo 256M > ${CGROUP}/memory.max; echo '100000 100000' > ${CGROUP}/cpu.max
    mv /usr/bin/lxcfs /usr/bin/lxcfs-5`);
  console.log(`µs of processor time a read, of ${READS}; load of the host ${loadavg()[0]?.toFixed(1)}:`);
  const kernel = await costs('/proc');
  show('kernel', kernel, {});
  let first: number[] | undefined;
  for (const [name, tree] of [
    ['lxcfs 5.0.3', undefined],
    ['lxcfs 6.0.4', treeOf('trixie')],
    ['lxcfs 7.0.0', treeOf('sid')],
  ] as const) {
    await lab.sh(
      `rm -rf /tmp/trees /usr/bin/lxcfs; mkdir /tmp/trees; ${tree ? `ln -s ${tree} /tmp/trees/it` : 'ln /usr/bin/lxcfs-5 /usr/bin/lxcfs'}`,
    );
    const supervisor = lab.spawn(
      `HOTMOUNT_LXCFS=/tmp/trees exec node src/cli.ts lxcfs --check-every 600 --run-dir ${RUN_DIR}`,
    );
    await supervisor.waitForOutput(/(?:"msg":"lxcfs is ready".*){2}/s, 300_000);
    const micros = await costs(`${RUN_DIR}/lxcfs/proc`);
    show(name, micros, { 'the kernel’s': kernel, ...(first && { '5.0.3’s': first }) });
    first ??= micros;
    supervisor.kill('SIGTERM');
    await supervisor.exited;
    await lab.sh(`node src/cli.ts node --cleanup --run-dir ${RUN_DIR}`, { timeoutMs: 120_000 });
  }
} finally {
  await lab.stop();
}

/** µs a read of each file. */
async function costs(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const file of FILES) {
    const path = `${directory}/${file}`;
    const script = `for (i = 0; i < ${READS}; i++) { while ((getline line < "${path}") > 0); close("${path}") }`;
    // Of all lxcfs; and of the reader, a child that has been waited for.
    const ticks = `cat $(pgrep '^lxcfs' | sed 's|.*|/proc/&/stat|') /dev/null | awk '{ sum += $14 + $15 } END { print sum + 0 }'`;
    const [before, after, reader] = (
      await lab.sh(
        `sleep 2; ${ticks}
        ( echo 0 > ${CGROUP}/cgroup.procs; exec unshare --pid --fork awk 'BEGIN { ${script} }' )
        ${ticks}; awk '{ print $16 + $17 }' /proc/$$/stat`,
        { timeoutMs: 300_000 },
      )
    ).split('\n') as [string, string, string];
    found.push(((Number(after) - Number(before) + Number(reader)) * 10_000) / READS);
  }
  return found;
}

function show(name: string, micros: readonly number[], others: Readonly<Record<string, readonly number[]>>): void {
  const cells = FILES.map((file, i) => {
    const own = micros[i] ?? Number.NaN;
    const ratios = Object.entries(others).map(([other, theirs]) => `${(own / (theirs[i] ?? 1)).toFixed(2)} × ${other}`);
    return [`${file} ${own.toFixed(0)}`, ...ratios].join(', ');
  });
  console.log(`  ${name}: ${cells.join('; ')}`);
}
