// @tier stress
/**
 * A file of 2 GiB arrives although its connection is cut ten times, the portal that receives it is killed twice, and another portal
 * takes over: by a client that other people wrote, and by a script that knows only the draft. What had arrived is not sent again.
 */
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { Cluster, type Node } from '../harness/cluster.ts'
import { Running, until } from '../harness/world.ts'
import { type Relay, relayTo } from '../one-request/curl.ts'
import { expectDelivered, MIB, tusUpload } from '../tus/scene.ts'

const SIZE_BYTES = 2048 * MIB
/**
 * What an interruption may cost: a part that arrives, one that is being made durable, and what lies in the buffers of the relay, the
 * balancer and the sockets between. It comes to 1.04 to 1.05 times the file on a busy machine.
 */
const NOT_DURABLE_BYTES_MAX = 16 * MIB
const NODES = 2
const CUTS = 10
const KILLS = 2
const RETRY_PAUSE_MS = 500
const DRAFT_CLIENT = new URL('draft-client.ts', import.meta.url).pathname

/** The bytes of parts that a node has received. */
async function receivedBytes({ url }: Node): Promise<number> {
  const answer = await fetch(`${url}/metrics`).catch(() => null)
  return Number(/^golooader_part_bytes_total\{direction="in"\} (\d+)$/m.exec((await answer?.text()) ?? '')?.[1] ?? 0)
}

async function scene() {
  const cluster = await Cluster.create({ nodes: NODES })
  const { world } = cluster
  await world.join(['alice'], {}, { hasKeys: false })
  await world.join(['bob'])
  const path = await world.file('source', SIZE_BYTES)
  let killed: Promise<void> = Promise.resolve()
  let cuts = 0
  let kills = 0
  let isKilling = false

  /** The nodes that have received parts. */
  const used = new Set<number>()
  const noteNodes = async (): Promise<number[]> => {
    const received = await Promise.all(cluster.nodes.map(receivedBytes))
    for (const [index, bytes] of received.entries()) if (bytes > 0) used.add(index)
    return received
  }

  /** Kills the node that has received most, and starts it again once another one continues. */
  const kill = async (): Promise<void> => {
    const received = await noteNodes()
    const busiest = received.indexOf(Math.max(...received))
    await cluster.node(busiest).running.stop('SIGKILL')
    kills++
    await until(async () => {
      await noteNodes()
      return used.size === NODES
    }, 'another node continues')
    await cluster.restart(busiest)
  }

  const relay: Relay = await relayTo(cluster.balancer.url, (bytes, cutAll) => {
    if (cuts < CUTS && bytes > ((cuts + 1) * SIZE_BYTES) / (CUTS + 1)) {
      cuts++
      cutAll()
    }
    const killAt = ((kills + 0.5) * SIZE_BYTES) / KILLS
    if (kills < KILLS && bytes > killAt && !isKilling) {
      isKilling = true
      killed = kill().finally(() => {
        isKilling = false
      })
    }
  })
  const expectLittleSentTwice = async (): Promise<void> => {
    await killed
    await noteNodes()
    expect({ cuts, kills, nodes: used.size }).toEqual({ cuts: CUTS, kills: KILLS, nodes: NODES })
    const againBytes = relay.bytes() - SIZE_BYTES
    console.log(`sent ${(relay.bytes() / SIZE_BYTES).toFixed(4)} times the size`)
    expect(againBytes).toBeLessThan((CUTS + KILLS) * NOT_DURABLE_BYTES_MAX)
  }
  return { world, relay, path, expectLittleSentTwice }
}

test('tus-js-client', async () => {
  const { world, relay, path, expectLittleSentTwice } = await scene()
  const headers = { Authorization: `Bearer ${await world.token('alice')}` }
  const metadata = { filename: 'report.pdf', to: 'bob' }
  const endpoint = `${relay.url}/v1/tus`
  // The pause lets what is on its way arrive before the portal is asked.
  const retryDelays = new Array<number>(100).fill(RETRY_PAUSE_MS)
  const { header } = await tusUpload(createReadStream(path), { endpoint, headers, metadata, retryDelays })
  expect(header('GoLooader-Notification')).toBe('stored')
  await expectLittleSentTwice()
  await world.receiver('bob')
  await expectDelivered(world, path)
})

test('a script of 60 lines that knows the draft', async () => {
  const { world, relay, path, expectLittleSentTwice } = await scene()
  await world.receiver('bob')
  const env = { PATH: process.env.PATH, TOKEN: await world.token('alice') }
  const args = [DRAFT_CLIENT, `${relay.url}/v1/to/bob/report.pdf`, path]
  const script = new Running(spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }))
  onTestFinished(async () => void (await script.stop('SIGKILL')))
  const { stdout } = await script.ended
  expect(stdout).toMatch(/^200\nstored [^\n]+\n+delivered bob\n/)
  await expectLittleSentTwice()
  await expectDelivered(world, path)
})
