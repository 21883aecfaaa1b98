/**
 * Receives one file with a number of parts in flight, which `golooader receive` has no flag for. Its environment says as who, as
 * that of the command does.
 *
 *     node one-file-receiver.ts FOLDER [PARTS_IN_FLIGHT]      without a number it is found out by trying
 */
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { receive } from '../../src/receiver/node-receive.ts'

const [folder = '', count] = process.argv.slice(2)
const { GOLOOADER_PORTAL = '', GOLOOADER_TOKEN = '' } = process.env
const client = new PortalClient(nodeTransport(GOLOOADER_PORTAL, { insecure: true }), GOLOOADER_TOKEN)
const { received } = await receive({
  client,
  folder,
  mayCreate: true,
  trust: null,
  from: null,
  isOnce: true,
  signal: new AbortController().signal,
  onEvent: () => {},
  ...(count === undefined ? {} : { partsInFlight: Number(count) }),
})
await client.close()
if (received !== 1) throw new Error('the file was not received')
