/** Group commit over a real database file: operations become durable together, fail alone, and are not visible before the commit. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GroupCommitDriver, type GroupDatabase } from '../../src/portal/ledger/group-commit.ts'
import { adapt } from '../../src/portal/ledger/sqlite.ts'

let folder: string
let driver: GroupCommitDriver
let commits: number[]
/** Replaces the next commit. */
let commitFault: (() => void) | null

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golooader-group-'))
  const path = join(folder, 'test.sqlite')
  const database = new DatabaseSync(path)
  database.exec('pragma journal_mode = wal; create table things (name text primary key)')
  commits = []
  commitFault = null
  const reader = adapt(new DatabaseSync(path, { readOnly: true }))
  const writer = withFault(adapt(database))
  driver = new GroupCommitDriver({ writer, reader, onCommit: (count) => commits.push(count) })
})

afterEach(async () => {
  await driver.destroy()
  await rm(folder, { recursive: true })
})

function withFault(database: GroupDatabase): GroupDatabase {
  return {
    ...database,
    prepare(sql) {
      if (sql === 'commit') commitFault?.()
      return database.prepare(sql)
    },
  }
}

async function insert(name: string, sql = 'insert into things (name) values (?)'): Promise<void> {
  const group = await driver.begin()
  try {
    driver.write(sql, [name])
  } catch (error) {
    driver.undo(group, error)
    throw error
  }
  await driver.commit(group)
}

async function names(): Promise<string[]> {
  const { rows } = await driver.read('select name from things order by name', [])
  return rows.map(({ name }: { name: string }) => name)
}

async function outcomes(work: readonly Promise<void>[]): Promise<string[]> {
  return (await Promise.allSettled(work)).map(({ status }) => status)
}

describe('group commit', () => {
  test('operations that are requested together share one commit', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => insert(name)))
    expect(commits).toEqual([3])
    expect(await names()).toEqual(['a', 'b', 'c'])
  })

  test('an operation that fails is rolled back alone', async () => {
    expect(await outcomes([insert('a'), insert('a'), insert('b')])).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(commits).toEqual([2])
    expect(await names()).toEqual(['a', 'b'])
  })

  test('no caller gets a result before the commit, and no reader sees any of it', async () => {
    let isAnswered = false
    const group = await driver.begin()
    driver.write('insert into things (name) values (?)', ['a'])
    const answered = driver.commit(group).then(() => {
      isAnswered = true
    })
    for (let turns = 0; turns < 100; turns++) await Promise.resolve()
    expect(isAnswered).toBe(false)
    expect(await names()).toEqual([])
    await answered
    expect(commits).toEqual([1])
    expect(await names()).toEqual(['a'])
  })

  test('a failed commit fails all of its operations, and none of the following', async () => {
    commitFault = () => {
      throw new Error('the disk is full')
    }
    expect(await outcomes([insert('a'), insert('b')])).toEqual(['rejected', 'rejected'])
    expect(await names()).toEqual([])
    commitFault = null
    await insert('c')
    expect(await names()).toEqual(['c'])
    expect(commits).toEqual([1])
  })

  test('an error that ends the transaction fails all operations in it', async () => {
    await insert('a')
    const ending = [insert('b'), insert('a', 'insert or rollback into things (name) values (?)'), insert('c')]
    const [before, itself, after] = await outcomes(ending)
    expect([before, itself]).toEqual(['rejected', 'rejected'])
    expect(await names()).toEqual(after === 'fulfilled' ? ['a', 'c'] : ['a'])
  })

  test('an operation that waits delays the others, and they do not interleave', async () => {
    const slow = await driver.begin()
    const quick = insert('quick')
    await new Promise((resolve) => setTimeout(resolve, 20))
    driver.write('insert into things (name) values (?)', ['slow'])
    driver.undo(slow)
    await quick
    expect(await names()).toEqual(['quick'])
  })
})
