/** The portal can serve metrics and health at a separate address, and nothing else there. The main address then has no metrics. */
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type RunningPortal, startPortal } from '../../../src/portal/index.ts'
import { testFolder } from '../../suites/folder.ts'

const listen = { host: '127.0.0.1', port: 0 }

async function running(settings: Parameters<typeof startPortal>[0] = {}): Promise<RunningPortal> {
  const dataFolder = await testFolder()
  const portal = await startPortal({
    listenPort: 0,
    dataFolder,
    freeBytesMin: 0,
    operationsListen: listen,
    ...settings,
  })
  onTestFinished(() => portal.close())
  return portal
}

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.status
}

test('metrics are served at the operations address only, health at both', async () => {
  const { url, operationsUrl } = await running()
  expect(await statusOf(`${url}/metrics`)).toBe(404)
  const figures = await fetch(`${operationsUrl}/metrics`)
  expect(figures.headers.get('content-type')).toMatch(/^text\/plain/)
  expect(await figures.text()).toMatch(/^golooader_open_transfers 0$/m)
  for (const path of ['/healthz', '/readyz']) {
    expect(await statusOf(`${operationsUrl}${path}`)).toBe(200)
    expect(await statusOf(`${url}${path}`)).toBe(200)
  }
})

test.each(['/', '/join', '/v1/limits', '/v1/account', '/v1/join', '/openapi.json', '/metrics/', '/assets/x.js'])(
  'the address for operations has nothing at %s',
  async (path) => {
    const { operationsUrl } = await running()
    const response = await fetch(`${operationsUrl}${path}`)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ code: 'not-found' })
  },
)

test('without an operations address the portal serves the metrics itself', async () => {
  const { url, operationsUrl } = await running({ operationsListen: null })
  expect(operationsUrl).toBeNull()
  expect(await statusOf(`${url}/metrics`)).toBe(200)
})

test('a portal whose operations address is taken does not start', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void taken.close())
  const { port } = taken.address() as { port: number }
  await expect(running({ operationsListen: { host: '127.0.0.1', port } })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})

test('a portal that has stopped serves nothing at either address', async () => {
  const portal = await running()
  await portal.close()
  await expect(fetch(`${portal.operationsUrl}/healthz`)).rejects.toThrow()
})
