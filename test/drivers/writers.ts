/** Several processes open one ledger at the same time. None blocks another, and all data are written. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'

/** @param place the location of a ledger that does not exist yet, in the form for `ledger-writer.ts` */
export async function expectWritersAtOnce(place: string, open: () => Promise<Ledger>): Promise<void> {
  const processes = [1, 2, 3, 4].map((number) =>
    fork(join(import.meta.dirname, 'ledger-writer.ts'), [place, `writer-${number}`], { silent: true }),
  )
  onTestFinished(() => {
    for (const process of processes) process.kill('SIGKILL')
  })
  const complaints = processes.map((process) => (process.stderr === null ? '' : text(process.stderr)))
  const exited = Promise.all(processes.map((process) => once(process, 'exit')))
  await Promise.all(processes.map((process) => once(process, 'message')))
  for (const process of processes) process.send('go')
  const exits = await exited
  expect(
    exits.map(([code]) => code),
    (await Promise.all(complaints)).join(''),
  ).toEqual([0, 0, 0, 0])
  const ledger = await open()
  onTestFinished(() => ledger.close())
  expect(await ledger.totals()).toEqual({ openTransfers: 40, openBytes: 40_000 })
}
