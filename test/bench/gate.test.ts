/** The cost of a large file, relative to the measured floor and to other programs, stays within the recorded bound. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../structure/sources.ts'
import { testFolder } from '../suites/folder.ts'

const RECORDED = join(root, 'bench/gate.json')

function gate(...args: string[]): Promise<{ code: number; told: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(root, 'bench/gate.ts'), ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), told: stdout + stderr })
    })
  })
}

test('a large file costs at most a quarter more than recorded', async () => {
  const { code, told } = await gate()
  expect(told).toMatch(/^\| plain \/ floor \| [\d.]+ \| [\d.]+ \| holds \|$/m)
  expect(code, told).toBe(0)
})

test('a ratio that is worse by more than a quarter makes the gate exit with 1', async () => {
  const path = join(await testFolder(), 'recorded.json')
  const recorded: Record<string, number> = JSON.parse(await readFile(RECORDED, 'utf8'))
  const better = Object.entries(recorded).map(([name, ratio]) => [name, name === 'sealed / floor' ? 0.01 : ratio * 100])
  await writeFile(path, JSON.stringify(Object.fromEntries(better)))
  const { code, told } = await gate('--rounds', '1', '--size', '8', '--recorded', path)
  expect(told).toMatch(/^\| sealed \/ floor \| .* \| worse by more than a quarter \|$/m)
  expect(told).toMatch(/^\| plain \/ floor \| .* \| holds \|$/m)
  expect(code).toBe(1)
})
