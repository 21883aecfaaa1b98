/** A portal by a name that only a proxy on the way out can resolve, with the accounts alice and bob. */
import { World } from '../e2e/harness/world.ts'
import { reachBy } from '../e2e/load-balancer/scene.ts'
import { Authority } from '../e2e/tls/authority.ts'

export const portalName = 'portal.example'

export interface NamedPortal extends AsyncDisposable {
  readonly world: World
  /** It has signed the certificate of the portal, and is trusted by the clients. */
  readonly authority: Authority
  readonly url: string
}

/** Starts one, over TLS or over plain http, which its clients then accept. */
export async function namedPortal({ isTls }: { isTls: boolean }): Promise<NamedPortal> {
  const world = await World.create({ isShared: true })
  const authority = await Authority.create(world.path('tls'))
  world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  const plain = await world.portal()
  await world.join(['alice', 'bob'])
  if (isTls) {
    // The test itself joined without TLS.
    await plain.stop()
    const { certPath, keyPath } = await authority.certify('portal', 1, { names: `DNS:${portalName}` })
    await world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
  } else {
    world.env.GOLOOADER_INSECURE = '1'
  }
  const url = `${isTls ? 'https' : 'http'}://${portalName}:${new URL(world.portalUrl).port}`
  for (const name of ['alice', 'bob']) await reachBy(world, name, url)
  return { world, authority, url, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}
