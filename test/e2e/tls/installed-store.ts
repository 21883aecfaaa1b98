/** A certificate store of the system, with an authority of a test in it. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { programPath, requireServer } from '../../servers/install.ts'
import type { Authority } from './authority.ts'

/**
 * Installs an authority in a certificate store of its own, by Debian's tool.
 *
 * @param folder made for it
 * @returns the variables by which OpenSSL finds the store
 */
export async function installedStore({ caPath }: Authority, folder: string): Promise<Record<string, string>> {
  await requireServer('ca-certificates')
  const inFolder = (name: string): string => join(folder, name)
  const [local, store, hooks] = [inFolder('local'), inFolder('store'), inFolder('hooks')]
  for (const one of [folder, local, store, hooks]) await mkdir(one)
  await copyFile(caPath, join(local, 'own.crt'))
  const list = inFolder('ca-certificates.conf')
  await writeFile(list, '')
  const folders = ['--localcertsdir', local, '--etccertsdir', store, '--hooksdir', hooks]
  await promisify(execFile)(programPath('update-ca-certificates'), ['--certsconf', list, ...folders])
  return { SSL_CERT_FILE: join(store, 'ca-certificates.crt'), SSL_CERT_DIR: store }
}
