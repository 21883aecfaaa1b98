// Usage: tus-server.js FOLDER. A server for resumable uploads; prints its port.
import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

// When a client disconnects at the end of its body, the streams are closed twice. The upload is still complete.
process.on('uncaughtException', (error) => {
  if (error.code !== 'ERR_INVALID_STATE') throw error
})

const tus = new Server({ path: '/files', datastore: new FileStore({ directory: process.argv[2] }) })
const server = createServer((request, response) => tus.handle(request, response))
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
