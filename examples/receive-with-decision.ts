/** Receives into a folder, PDF files of at most 10 MB alone, until it is interrupted. Usage: receive-with-decision.ts FOLDER */
import { openProfile } from 'golooader'

const SIZE_BYTES_MAX = 10_000_000
const [folder = ''] = process.argv.slice(2)
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

await using me = await openProfile()
const files = me.receive(folder, {
  create: true,
  signal: stop.signal,
  decide: ({ name, sizeBytes }) => {
    if (!name.endsWith('.pdf')) return { refuse: 'PDF files only, please' }
    return sizeBytes <= SIZE_BYTES_MAX ? 'accept' : { refuse: `at most ${SIZE_BYTES_MAX} bytes, please` }
  },
  onEvent: (event) => {
    if (event.type === 'connected') console.log('connected')
  },
})
for await (const { path, from, sizeBytes } of files) {
  console.log(`${path}: ${sizeBytes} bytes from ${from}`)
}
