/** Sends a file to a person without an account, and waits until the file is taken. Usage: send-by-link.ts FILE */
import { openProfile } from 'golooader'

const [file = ''] = process.argv.slice(2)

await using me = await openProfile()
const [outcome] = await me.send(file, {
  link: { expiryMs: 2 * 24 * 60 * 60 * 1000 },
  onEvent: (event) => {
    if (event.type === 'link') console.log(`works once, until ${event.expiresAt}:\n${event.link}`)
  },
})
if (outcome?.outcome === 'delivered') {
  const [receipt] = await me.receipts(outcome.transferId)
  console.log(`taken: a person with the link signed for ${file}, as ${receipt?.receiver}`)
} else {
  console.log(`not taken: ${JSON.stringify(outcome)}`)
  process.exitCode = 1
}
