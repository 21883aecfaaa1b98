// Usage: tus-send.js URL FILE. Uploads a file and prints where it can be had.
import { createReadStream, statSync } from 'node:fs'
import { Upload } from 'tus-js-client'

const [, , endpoint, path] = process.argv
const upload = new Upload(createReadStream(path), {
  endpoint,
  uploadSize: statSync(path).size,
  onError: (error) => {
    throw error
  },
  onSuccess: () => process.stdout.write(`${upload.url}\n`),
})
upload.start()
