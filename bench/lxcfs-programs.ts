/**
 * What programs say in a container of 1 processor and 256 MiB, without lxcfs, with each view alone, and with all of them: where
 * docs/lxcfs.md has its table from. Programs that this machine does not have are left out. Root, runc, lxcfs, gcc.
 *
 *     node bench/lxcfs-programs.ts
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readlinkSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { LXCFS_VIEW_NAMES, LXCFS_VIEWS, type LxcfsView } from '../src/contract/wants.ts';
import { LxcfsService } from '../test/system/lxcfs/service.ts';
import { Rig, run } from '../test/system/support/rig.ts';

/** By name: a shell script that prints what the program takes for the container's, in one line; it runs only where the program is there. */
const PROGRAMS: readonly { readonly name: string; readonly needs: string; readonly script: string }[] = [
  { name: 'free -m', needs: 'free', script: `free -m | awk '/^Mem:/ { print $2 " MiB" }'` },
  { name: 'top', needs: 'top', script: `top -bn1 | awk '/^MiB Mem/ { print $4 " MiB" }'` },
  { name: 'top, uptime', needs: 'top', script: `top -bn1 | sed -n 's/.* up *\\(.*\\), *[0-9]* user.*/up \\1/p'` },
  { name: 'uptime', needs: 'uptime', script: 'uptime -p' },
  { name: 'ps -o etime', needs: 'ps', script: 'ps -o etime= -p $$ | xargs' },
  { name: 'ps -o lstart', needs: 'ps', script: 'ps -o lstart= -p $$ | xargs' },
  { name: 'vmstat -s', needs: 'vmstat', script: `vmstat -s -S M | awk '/total memory/ { print $1 " MiB" }'` },
  { name: 'nproc', needs: 'nproc', script: 'nproc' },
  { name: 'getconf _NPROCESSORS_ONLN', needs: 'getconf', script: 'getconf _NPROCESSORS_ONLN' },
  { name: 'getconf _PHYS_PAGES', needs: 'getconf', script: 'echo $(($(getconf _PHYS_PAGES) / 256)) MiB' },
  { name: 'lscpu', needs: 'lscpu', script: `lscpu | awk '/^CPU\\(s\\):/ { print $2 }'` },
  {
    name: 'mpstat',
    needs: 'mpstat',
    script: `mpstat -P ALL | grep -cE '^[0-9:]+ .*[0-9]+ +[0-9.]+ +[0-9.]+' | awk '{ print $1 - 1 }'`,
  },
  {
    name: 'iostat',
    needs: 'iostat',
    script: `iostat -d | awk 'NR > 3 && NF { disks++ } END { print disks + 0 " disks" }'`,
  },
  { name: 'BusyBox free', needs: 'busybox', script: `busybox free -m | awk '/^Mem:/ { print $2 " MiB" }'` },
  { name: 'BusyBox nproc', needs: 'busybox', script: 'busybox nproc' },
  { name: 'BusyBox uptime', needs: 'busybox', script: `busybox uptime | sed 's/.*up *\\(.*\\), *load.*/up \\1/'` },
  {
    name: 'nginx, worker_processes auto',
    needs: 'nginx',
    script: `printf 'user root; worker_processes auto; pid /tmp/n.pid; error_log /dev/null; events {} ' > /tmp/n.conf; nginx -e /dev/null -c /tmp/n.conf; sleep 1; echo $(($(pgrep -xc nginx) - 1)); nginx -e /dev/null -c /tmp/n.conf -s stop`,
  },
  {
    name: 'node_exporter',
    needs: 'prometheus-node-exporter',
    script: `prometheus-node-exporter --web.listen-address 127.0.0.1:9100 2> /dev/null & sleep 1; curl -s 127.0.0.1:9100/metrics | awk '/^node_memory_MemTotal_bytes/ { m = $2 / 1048576 } /^node_cpu_seconds_total.*idle/ { c++ } /^node_boot_time_seconds/ { b = $2 } END { print m " MiB, " c " processors" }'; kill %1`,
  },
  { name: 'Go NumCPU, GOMAXPROCS', needs: '/programs/go', script: '/programs/go' },
  { name: 'JVM availableProcessors, maxMemory', needs: 'java', script: 'java -cp /programs Jvm' },
  { name: 'JVM, container support off', needs: 'java', script: 'java -XX:-UseContainerSupport -cp /programs Jvm' },
  { name: 'JVM totalMemorySize', needs: 'java', script: 'java -cp /programs Mem' },
  { name: 'Node os.cpus', needs: 'node', script: `node -p 'os.cpus().length'` },
  { name: 'Node os.availableParallelism', needs: 'node', script: `node -p 'os.availableParallelism()'` },
  {
    name: 'Node os.totalmem',
    needs: 'node',
    script: `node -p 'Math.round(os.totalmem() / 2 ** 20) + " MiB"'`,
  },
  { name: 'Node os.uptime', needs: 'node', script: `node -p 'os.uptime().toFixed() + " s"'` },
  { name: 'Python os.cpu_count', needs: 'python3', script: `python3 -c 'import os; print(os.cpu_count())'` },
  {
    name: 'Python sysconf memory',
    needs: 'python3',
    script: `python3 -c 'import os; print((os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20, "MiB")'`,
  },
];

const IMAGE = ['/bin', '/sbin', '/lib', '/lib64', '/usr', '/etc'];
const rig = new Rig();

/** What each program prints, in a container that has these views. */
function tell(source: string, views: readonly LxcfsView[]): Map<string, string> {
  const id = `what-${process.pid}-${views.join('-') || 'none'}`;
  const bundle = rig.path(id);
  mkdirSync(`${bundle}/rootfs/programs`, { recursive: true });
  const links = IMAGE.filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink());
  for (const path of links) symlinkSync(readlinkSync(path), `${bundle}/rootfs${path}`);
  const node = dirname(realpathSync(process.execPath));
  const binds = [...IMAGE.filter((path) => !links.includes(path)), node].map((path) => ({
    destination: path,
    type: 'bind',
    source: path,
    options: ['rbind', 'ro'],
  }));
  const script = PROGRAMS.map(
    ({ needs, script }, i) => `echo "@${i}"; command -v ${needs} > /dev/null && { ${script}; } 2> /dev/null`,
  ).join('\n');
  const spec = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: ['bash', '-c', script],
      env: [`PATH=/usr/sbin:/usr/bin:/sbin:/bin:${node}`, 'TERM=dumb'],
      cwd: '/tmp',
    },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/sys', type: 'sysfs', source: 'sysfs' },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
      ...binds,
      { destination: '/programs', type: 'bind', source: rig.path('programs'), options: ['rbind', 'ro'] },
      ...views.map((view) => ({
        destination: LXCFS_VIEWS[view],
        type: 'bind',
        source: `${source}${LXCFS_VIEWS[view]}`,
        options: ['rbind', 'ro', 'nosuid', 'nodev'],
      })),
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'].map((type) => ({ type })),
      resources: { memory: { limit: 256 << 20 }, cpu: { quota: 100_000, period: 100_000 } },
      cgroupsPath: `/${id}`,
    },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
  const { stdout, stderr } = spawnSync('runc', ['--root', rig.path('runc'), 'run', '-b', bundle, id], {
    encoding: 'utf8',
  });
  if (!stdout) throw new Error(stderr);
  const answers = new Map<string, string>();
  for (const part of stdout.split('@').slice(1)) {
    const [index, ...lines] = part.split('\n');
    const answer = lines.join(' ').trim();
    const program = PROGRAMS[Number(index)];
    if (program && answer) answers.set(program.name, answer);
  }
  return answers;
}

function buildPrograms(): void {
  const directory = rig.path('programs');
  mkdirSync(directory);
  writeFileSync(
    `${directory}/go.go`,
    'package main\n\nimport (\n\t"fmt"\n\t"runtime"\n)\n\nfunc main() { fmt.Println(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }\n',
  );
  const jvm = (name: string, print: string): void =>
    writeFileSync(
      `${directory}/${name}.java`,
      `public class ${name} { public static void main(String[] a) { System.out.println(${print}); } }`,
    );
  jvm(
    'Jvm',
    'Runtime.getRuntime().availableProcessors() + ", " + (Runtime.getRuntime().maxMemory() >> 20) + " MiB heap"',
  );
  jvm(
    'Mem',
    '(((com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize() >> 20) + " MiB"',
  );
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/local/go/bin` };
  for (const [command, ...args] of [
    ['go', 'build', '-o', 'go', 'go.go'],
    ['javac', 'Jvm.java', 'Mem.java'],
  ] as const) {
    try {
      execFileSync(command, args, { cwd: directory, env, stdio: 'ignore' });
    } catch {
      process.stderr.write(`${command} is not installed: its programs are left out\n`);
    }
  }
}

try {
  buildPrograms();
  const lxcfs = new LxcfsService(rig);
  lxcfs.trees = process.env['HOTMOUNT_LXCFS'] ?? '/nowhere';
  await lxcfs.start();
  const version = (await lxcfs.status())?.program?.version;
  const without = tell(lxcfs.source, []);
  const all = tell(lxcfs.source, LXCFS_VIEW_NAMES);
  const alone = new Map(LXCFS_VIEW_NAMES.map((view) => [view, tell(lxcfs.source, [view])]));
  console.log(`lxcfs ${version}, cgroup ${run('sh', '-c', 'test -d /sys/fs/cgroup/memory && echo v1 || echo v2')}\n`);
  console.log('| program | without | all views | by which view |\n| --- | --- | --- | --- |');
  for (const { name } of PROGRAMS) {
    if (!without.has(name)) continue;
    const changed = [...alone].flatMap(([view, answers]) =>
      answers.get(name) === without.get(name) ? [] : [`${view}: ${answers.get(name)}`],
    );
    console.log(`| ${name} | ${without.get(name)} | ${all.get(name)} | ${changed.join('; ')} |`);
  }
} finally {
  await rig.close();
}
