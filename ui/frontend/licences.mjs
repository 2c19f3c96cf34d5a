// Writes ../licences.json: what is built into the screens, and under which terms.
// It walks from the dependencies in package.json; what only builds is left out.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const BUILDS = new Set(['vite', '@vitejs/plugin-vue'])
// Vue's compilers are part of its package, but not of what runs in a browser.
const LEFT_OUT = new Set(['@vue/compiler-sfc', '@vue/server-renderer'])

function folderOf (name, from) {
  for (let at = from; ; at = dirname(at)) {
    const folder = join(at, 'node_modules', name)
    if (existsSync(join(folder, 'package.json'))) return folder
    if (at === dirname(at)) return null
  }
}

const here = import.meta.dirname ?? dirname(createRequire(import.meta.url).resolve('./package.json'))
const own = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'))
const waiting = Object.keys(own.dependencies).filter(name => !BUILDS.has(name)).map(name => [name, here])
const found = new Map()
while (waiting.length) {
  const [name, from] = waiting.pop()
  const folder = folderOf(name, from)
  if (LEFT_OUT.has(name) || name.startsWith('@types/') || folder === null) continue
  const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const key = `${name}@${about.version}`
  if (found.has(key)) continue
  const texts = readdirSync(folder).filter(file => /^(licen[cs]e|copying|notice)/i.test(file))
    .map(file => readFileSync(join(folder, file), 'utf8'))
  found.set(key, { name, version: about.version, licence: about.license ?? '', texts })
  for (const next of Object.keys(about.dependencies ?? {})) waiting.push([next, folder])
}
const rows = [...found.keys()].sort().map(key => found.get(key))
writeFileSync(join(here, '..', 'licences.json'), JSON.stringify(rows, null, 1) + '\n')
