// `node build.ts [folder]`: writes the package as it is published, by default into `dist`: plain
// JavaScript with its types, and a package.json that points at them.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';

const Manifest = v.looseObject({
  name: v.string(),
  version: v.string(),
  exports: v.record(v.string(), v.string()),
});

const here = import.meta.dirname;
const out = resolve(process.argv[2] ?? join(here, 'dist'));
const typescript = fileURLToPath(import.meta.resolve('typescript/package.json'));
const tsc = join(typescript, '..', 'bin', 'tsc');

rmSync(out, { recursive: true, force: true });
const args = [tsc, '-p', join(here, 'tsconfig.build.json'), '--outDir', out];
execFileSync(process.execPath, args, { stdio: 'inherit' });

const source = readFileSync(join(here, 'package.json'), 'utf8');
const { scripts: _, ...manifest } = v.parse(Manifest, JSON.parse(source));
const exports = Object.fromEntries(
  Object.entries(manifest.exports).map(([name, path]) => [
    name,
    { types: path.replace(/\.ts$/, '.d.ts'), default: path.replace(/\.ts$/, '.js') },
  ]),
);
writeFileSync(join(out, 'package.json'), `${JSON.stringify({ ...manifest, exports }, null, 2)}\n`);
copyFileSync(join(here, 'README.md'), join(out, 'README.md'));
copyFileSync(join(here, '..', '..', '..', 'LICENSE'), join(out, 'LICENSE'));
