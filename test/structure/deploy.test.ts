/** The flags, variables and files that `deploy/` and the documents name exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { commandVariables } from '../../src/cli/exec.ts'
import { commandLine } from '../../src/cli/main.ts'
import { portalDefaults } from '../../src/portal/options.ts'
import { readPages } from './pages.ts'
import { root } from './sources.ts'

/** Flags of other programs that the pages show. */
const foreign: Readonly<Record<string, readonly string[]>> = {
  docker: ['--detach', '--no-deps', '--no-healthcheck', '--read-only', '--tmpfs', '--wait'],
  systemctl: ['--now'],
  Garage: ['--default-bucket', '--single-node'],
  // `--http1.1`
  curl: ['--http1', '--data-binary', '--fail-with-body', '--max-time', '--retry'],
  vitest: ['--project'],
  node: ['--use-env-proxy'],
  apt: ['--no-install-recommends'],
  'bench/': ['--size'],
  rclone: ['--vfs-cache-mode'],
  wget: ['--post-file'],
  npm: ['--global', '--ignore-scripts', '--no-audit', '--no-fund', '--omit'],
  Dockerfile: ['--from', '--interval', '--retries', '--start-period', '--timeout'],
}
/** Variables without a flag, and the one whose flag has no value: docs/configuration.md. */
const otherVariables = ['GOLOOADER_PORTAL', 'GOLOOADER_TOKEN', 'GOLOOADER_KEYS', 'GOLOOADER_PASSPHRASE']

const pages = [...readPages().map(({ path }) => path), ...filesUnder('deploy')]
  .filter((path, index, all) => all.indexOf(path) === index)
  .map((path) => ({ path, text: read(path) }))
const program = options(await commandLine())

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    return entry.isDirectory() ? filesUnder(path) : [path]
  })
}

/** The flags and variables of a command and of its subcommands. */
function options(command: Command): { flags: string[]; variables: string[] } {
  const below = command.commands.map(options)
  return {
    flags: ['--help', ...command.options.map(({ long }) => long ?? ''), ...below.flatMap(({ flags }) => flags)],
    variables: [
      // The description of a flag without a value contains its variable.
      ...command.options.flatMap(({ envVar, description }) => envVar ?? /\(env: (\w+)=/.exec(description)?.[1] ?? []),
      ...below.flatMap(({ variables }) => variables),
    ],
  }
}

function flagsIn(text: string): string[] {
  return [...text.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag)
}

test('the options of the program are found', () => {
  for (const flag of ['--listen', '--no-wait', '--sealed-only', '--profile']) expect(program.flags).toContain(flag)
  for (const name of ['GOLOOADER_LISTEN', 'GOLOOADER_SEALED_ONLY']) expect(program.variables).toContain(name)
})

test('every flag that a document shows exists', () => {
  const known = new Set([...program.flags, ...Object.values(foreign).flat()])
  const unknown = pages.flatMap(({ path, text }) =>
    flagsIn(text)
      .filter((flag) => !known.has(flag))
      .map((flag) => `${path}: ${flag}`),
  )
  expect(unknown).toEqual([])
})

test('every listed flag of another program is still shown', () => {
  const shown = new Set(pages.flatMap(({ text }) => flagsIn(text)))
  expect(
    Object.values(foreign)
      .flat()
      .filter((flag) => !shown.has(flag)),
  ).toEqual([])
})

test('every variable that a document shows exists', () => {
  const ofCommands = commandVariables.map((name) => `GOLOOADER_EXEC_${name}`)
  const known = new Set([...program.variables, ...otherVariables, ...ofCommands])
  const unknown = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\bGOLOOADER_[A-Z_]*[A-Z]\b/g)]
      .filter(([name]) => !known.has(name))
      .map(([name]) => `${path}: ${name}`),
  )
  expect(unknown).toEqual([])
})

describe('Dockerfile', () => {
  const dockerfile = read('deploy/Dockerfile')

  test('its Node is a version that the package accepts', () => {
    const { engines } = JSON.parse(read('package.json'))
    const wanted = Number(/^>=(\d+)$/.exec(engines.node)?.[1])
    expect(Number(/^ARG NODE_VERSION=(\d+)$/m.exec(dockerfile)?.[1])).toBeGreaterThanOrEqual(wanted)
    const images = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image)
    expect(new Set(images)).toEqual(new Set([`node:$\{NODE_VERSION}-trixie-slim`]))
  })

  test('what it copies exists, and .dockerignore lets it through', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = '']) => names.split(' '))
    const letThrough = read('.dockerignore').matchAll(/^!(.+)$/gm)
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([])
    expect(new Set(copied)).toEqual(new Set([...letThrough].map(([, path]) => path)))
  })
})

describe('compose.yaml', () => {
  const { services } = parse(read('deploy/compose.yaml'), { merge: true })

  test('has the portals that the load balancer knows', () => {
    const servers = [...read('deploy/haproxy.cfg').matchAll(/^ {4}server (\S+) (\S+)$/gm)]
    expect(servers.length).toBeGreaterThan(1)
    for (const [, name = '', address] of servers) expect(address).toBe(`${name}:7878`)
    const portals = Object.keys(services).filter((name) => services[name].image === 'golooader')
    expect(portals).toEqual(servers.map(([, name]) => name))
  })

  test('mounts files that exist, or that its first lines tell an operator to create', () => {
    const mounted = Object.values<{ volumes?: string[] }>(services).flatMap(({ volumes = [] }) =>
      volumes.filter((volume) => volume.startsWith('./')).map((volume) => volume.slice(2).split(':')[0] ?? ''),
    )
    expect(mounted.filter((path) => !existsSync(join(root, 'deploy', path)))).toEqual(['golooader.pem'])
  })

  test('confines every container, and has a health check for it', () => {
    for (const service of Object.values<{ image: string; healthcheck?: unknown }>(services)) {
      expect(service).toMatchObject({ restart: 'unless-stopped', read_only: true, cap_drop: ['ALL'] })
      expect(service).toMatchObject({ security_opt: ['no-new-privileges:true'] })
      // The image of the portals contains its health check.
      expect(service.healthcheck !== undefined).toBe(service.image !== 'golooader')
    }
  })
})

test('Kubernetes gives a portal enough time to stop', () => {
  const [deployment] = parseAllDocuments(read('deploy/kubernetes/portal.yaml')).map((document) => document.toJS())
  const { terminationGracePeriodSeconds, containers } = deployment.spec.template.spec
  const untilToldMs = containers[0].lifecycle.preStop.sleep.seconds * 1000
  expect(terminationGracePeriodSeconds * 1000).toBeGreaterThan(untilToldMs + portalDefaults.stopMs)
})
