/** Uppy in a page, with the file that was chosen there. */
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'
import type { SentByUppy, UppyOptions } from '../sent-by-uppy.ts'

const INPUT_ID = 'chosen'

/** Shows an input for a file. */
export function showInput(): void {
  const input = document.createElement('input')
  input.type = 'file'
  input.id = INPUT_ID
  document.body.append(input)
}

/** Sends the chosen file by Uppy to the portal of this origin, as a web application would. */
export async function sendChosen(options: UppyOptions): Promise<SentByUppy> {
  const { token, to, retryDelays = [100, 1000, 3000, 5000], pauseAtBytes = Number.POSITIVE_INFINITY } = options
  const input = document.getElementById(INPUT_ID)
  const file = input instanceof HTMLInputElement ? input.files?.[0] : undefined
  if (file === undefined) throw new Error('no file was chosen')
  const uppy = new Uppy({ meta: { to } })
  const endpoint = new URL('/v1/tus', location.href).href
  uppy.use(Tus, { endpoint, headers: { Authorization: `Bearer ${token}` }, retryDelays: [...retryDelays] })
  uppy.addFile({ name: file.name, type: file.type, data: file })
  let isPaused = false
  uppy.on('upload-progress', (_file, { bytesUploaded }) => {
    if (isPaused || Number(bytesUploaded) < pauseAtBytes) return
    isPaused = true
    uppy.pauseAll()
    uppy.resumeAll()
  })
  let told = { notification: null as string | null, transferId: null as string | null }
  uppy.on('upload-success', (_file, { body }) => {
    const { xhr } = body as unknown as { xhr: XMLHttpRequest }
    // Read at once: Uppy aborts the request after this, which empties it.
    const [notification, transferId] = ['Notification', 'Transfer'].map((name) =>
      xhr.getResponseHeader(`GoLooader-${name}`),
    )
    told = { notification: notification ?? null, transferId: transferId ?? null }
  })
  const result = await uppy.upload()
  return { uploadUrl: result?.successful?.[0]?.uploadURL ?? null, ...told }
}

/** How the transfer fared, as a web application asks: one notification after the other. */
export async function notificationsOf(transferId: string, token: string): Promise<string[]> {
  const path = `/v1/transfers/${transferId}/events`
  const told: string[] = []
  for (let after = '0'; !told.some((one) => one === 'delivered' || one === 'failed'); ) {
    const headers = { Authorization: `Bearer ${token}`, Accept: 'application/json', Prefer: 'wait=20' }
    const answer: { events: { notification: string }[]; after: string } = await (
      await fetch(`${path}?after=${after}`, { headers })
    ).json()
    told.push(...answer.events.map(({ notification }) => notification))
    after = answer.after
  }
  return told
}
