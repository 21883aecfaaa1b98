/** Errors of the machine as text with advice. None of them is a bug of this program. */
import { fileErrorText, hasCode, isNoRoom, isOutOfDescriptors } from '../fs/index.ts'
import { printable } from './text.ts'

/** https://sqlite.org/rescode.html: the lower eight bits of a code tell its kind. */
const SQLITE_KIND_BITS = 0xff
const SQLITE_READONLY = 8
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14

const NO_ROOM = 'there is no room left on the disk, or its quota is used up. Make room, then run the same command again'
const BROKEN = 'a disk or a device reports an error (EIO). See the log of the system'
const ELSEWHERE = 'Listen elsewhere: --listen HOST:PORT'
/** The flags and variables that determine the folders of this program. */
const FOLDERS =
  'The folders are those of --data and --into; profiles lie in $XDG_CONFIG_HOME, the journal in $XDG_STATE_HOME'

/** @returns null for an error that does not come from the machine */
export function systemErrorText(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  return ledgerText(error) ?? listenText(error) ?? fileText(error) ?? systemErrorText(error.cause)
}

/** Why a file of the command line cannot be used. */
export function fileReason(path: string, error: unknown): string {
  return error instanceof Error ? printable(fileErrorText(path, error)) : String(error)
}

function ledgerText(error: Error): string | null {
  if (!('errcode' in error) || typeof error.errcode !== 'number') return null
  switch (error.errcode & SQLITE_KIND_BITS) {
    case SQLITE_FULL:
      return NO_ROOM
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return 'this user may not write the ledger of that portal. Run this as the owner of its data, or name another folder: --data'
    default:
      return null
  }
}

function listenText(error: Error): string | null {
  if (!('syscall' in error)) return null
  if (error.syscall === 'getaddrinfo') return `there is no host ${textOf(error, 'hostname')}. ${ELSEWHERE}`
  if (error.syscall !== 'listen') return null
  const host = textOf(error, 'address')
  const address = `${host.includes(':') ? `[${host}]` : host}:${textOf(error, 'port')}`
  if (hasCode(error, 'EADDRINUSE')) return `${address} is in use by another program. ${ELSEWHERE}`
  if (hasCode(error, 'EADDRNOTAVAIL')) return `there is no address ${host} on this machine. ${ELSEWHERE}`
  if (hasCode(error, 'EACCES', 'EPERM')) {
    return `this user may not listen on ${address}; ports from 1024 on are free to all. ${ELSEWHERE}`
  }
  return null
}

function fileText(error: Error): string | null {
  if (!('syscall' in error)) return null
  if (isNoRoom(error)) return NO_ROOM
  if (isOutOfDescriptors(error)) {
    return 'the system lets this program open no more files. Raise the limit (ulimit -n), then run the same command again'
  }
  if (hasCode(error, 'EIO')) return BROKEN
  if (!('path' in error)) return null
  const path = textOf(error, 'path')
  if (hasCode(error, 'EROFS')) return `${path} lies on a disk that can only be read. ${FOLDERS}`
  if (hasCode(error, 'EACCES', 'EPERM')) return `this user may not use ${path}. ${FOLDERS}`
  if (hasCode(error, 'ENOTDIR', 'EEXIST')) return `${path} is not a folder. ${FOLDERS}`
  if (hasCode(error, 'EISDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO')) return fileErrorText(path, error)
  if (hasCode(error, 'ENOENT')) return `${path} is not there. ${FOLDERS}`
  return null
}

function textOf(error: Error, member: string): string {
  return printable(String((error as Error & Record<string, unknown>)[member] ?? ''))
}
