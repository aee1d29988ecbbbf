import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';

/**
 * The directories of Go modules, `path@version`, fetched where they are not in Go's cache yet: what publishes schemas for Kubernetes is Go
 * modules, some MB each. Rejects with what Go said of the first that cannot be had.
 */
export async function goModules(modules: readonly string[]): Promise<string[]> {
  const options = { cwd: tmpdir(), env: { ...process.env, GOWORK: 'off', GOFLAGS: '' }, maxBuffer: 1 << 20 };
  const run = promisify(execFile)('go', ['mod', 'download', '-json', ...modules], options);
  const { stdout } = await run.catch((error: { stdout?: string; message: string }) => ({ stdout: error.stdout ?? '' }));
  const found = [...stdout.matchAll(/^\{$[\s\S]*?^\}$/gm)].map(
    ([text]) => JSON.parse(text) as { Path: string; Version: string; Dir?: string; Error?: string },
  );
  return modules.map((name) => {
    const module = found.find(({ Path, Version }) => `${Path}@${Version}` === name);
    if (!module?.Dir) throw new Error(`the Go module ${name} cannot be had: ${module?.Error ?? 'is Go installed?'}`);
    return module.Dir;
  });
}
