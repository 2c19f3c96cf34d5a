// Builds every src/<area>/index.js to ../built/<hash>/<area>.js, where the hash is that of the
// sources: a browser may keep a file for ever, and a new version has another name.
// Beside each it writes component_<area>.js, the three words that NiceGUI loads.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import vue from '@vitejs/plugin-vue';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'src');

function files(folder) {
  return readdirSync(folder).sort().flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

// The same sum as `sources_hash` in ui/assets.py.
const sum = createHash('sha256');
const named = [...files(source), join(here, 'build.mjs'), join(here, 'package.json')]
  .map((path) => [relative(here, path).split(sep).join('/'), path])
  .sort(([a], [b]) => (a < b ? -1 : 1));
for (const [name, path] of named) sum.update(name + '\0').update(readFileSync(path)).update('\0');
const hash = sum.digest('hex').slice(0, 12);

const areas = readdirSync(source).filter((name) => existsSync(join(source, name, 'index.js')));
const built = join(here, '..', 'built');
const out = join(built, hash);
rmSync(built, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  root: here,
  configFile: false,
  logLevel: 'warn',
  publicDir: false,
  plugins: [vue()],
  define: {
    'process.env.NODE_ENV': '"production"', __VUE_OPTIONS_API__: 'true',
    __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
  },
  // NiceGUI serves Vue; a second one in the bundle would break what components share.
  resolve: { alias: [{ find: '@vue/reactivity', replacement: 'vue' }] },
  build: {
    target: 'es2022', outDir: out, emptyOutDir: false, cssCodeSplit: false, minify: true,
    lib: {
      entry: Object.fromEntries(areas.map((name) => [name, join(source, name, 'index.js')])),
      formats: ['es'],
    },
    rolldownOptions: {
      external: ['vue'],
      output: { minify: true, entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
    },
  },
});
for (const name of areas) {
  writeFileSync(join(out, `component_${name}.js`), `export { default } from "genba-ui/${name}.js";\n`);
}
cpSync(join(source, 'lib', 'theme.css'), join(out, 'theme.css'));
console.log(`built ${areas.join(', ')} to ui/built/${hash}`);
