/** Sends a file and waits until its receiver has it. Usage: send-and-wait.ts FILE RECEIVER */
import { GoLooaderError, openProfile } from 'golooader'

const [file = '', receiver = ''] = process.argv.slice(2)
try {
  await using me = await openProfile()
  const [outcome] = await me.send(file, {
    to: receiver,
    deliveryTimeoutMs: 60_000,
    onEvent: (event) => {
      if (event.type === 'notification') console.log(event.notification.notification)
    },
  })
  console.log(`${outcome?.path}: ${outcome?.outcome}`)
  process.exitCode = outcome?.outcome === 'delivered' ? 0 : 1
} catch (error) {
  if (!(error instanceof GoLooaderError)) throw error
  console.error(`${error.message} (${error.code})`)
  process.exitCode = 2
}
