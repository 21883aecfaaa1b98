import { afterEach, expect, test, vi } from 'vitest'
import { reportError } from '../../src/cli/exit.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

function systemError(members: Record<string, unknown>): Error {
  return Object.assign(new Error(`${members.syscall} ${members.code}`), members)
}

/** The printed text and the exit code of an error. */
function report(error: unknown): { code: number; text: string } {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const code = reportError(error)
  return { code, text: write.mock.calls.map(([text]) => String(text)).join('') }
}

const path = '/srv/gl/x'
test.each([
  [{ syscall: 'listen', code: 'EADDRINUSE', address: '::1', port: 7878 }, /\[::1\]:7878 is in use[\s\S]*--listen/],
  [
    { syscall: 'listen', code: 'EACCES', address: '127.0.0.1', port: 80 },
    /may not listen on 127\.0\.0\.1:80[\s\S]*--listen/,
  ],
  [
    { syscall: 'listen', code: 'EADDRNOTAVAIL', address: '192.0.2.1', port: 0 },
    /no address 192\.0\.2\.1[\s\S]*--listen/,
  ],
  [{ syscall: 'getaddrinfo', code: 'ENOTFOUND', hostname: 'nowhere' }, /nowhere[\s\S]*--listen/],
  [{ syscall: 'getaddrinfo', code: 'EAI_AGAIN', hostname: 'nowhere' }, /nowhere[\s\S]*--listen/],
  [{ syscall: 'mkdir', code: 'EACCES', path }, /\/srv\/gl\/x[\s\S]*--data/],
  [{ syscall: 'open', code: 'EROFS', path }, /\/srv\/gl\/x[\s\S]*--data/],
  [{ syscall: 'mkdir', code: 'ENOTDIR', path }, /\/srv\/gl\/x is not a folder[\s\S]*--data/],
  [{ syscall: 'write', code: 'ENOSPC' }, /no room left[\s\S]*Make room/],
  [{ syscall: 'open', code: 'EDQUOT', path }, /no room left[\s\S]*Make room/],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 13 }, /no room left[\s\S]*Make room/],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 8 }, /may not write the ledger[\s\S]*--data/],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 14 }, /may not write the ledger[\s\S]*--data/],
])('an error of the system is printed with advice: %o', (members, message) => {
  for (const error of [systemError(members), new Error('wrapped', { cause: systemError(members) })]) {
    const { code, text } = report(error)
    expect(text).toMatch(message)
    expect(text).not.toMatch(/this is a bug|\n\s+at /)
    expect(code).toBe(2)
  }
})

test('a bug of this program is reported as one, with its stack trace', () => {
  const { code, text } = report(new TypeError('x is not a function'))
  expect(text).toMatch(/this is a bug[\s\S]*x is not a function[\s\S]*\n\s+at /)
  expect(code).toBe(1)
})
