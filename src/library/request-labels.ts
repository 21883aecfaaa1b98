/** Names what comes by a request for files: by the label that this machine keeps, because the portal has it sealed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { requestsFolder } from '../profile/index.ts'
import type { RequestOfFile } from '../receiver/index.ts'

export class RequestLabels {
  readonly #known = new Map<string, string | null>()

  /** The same with the opened label; null where this machine does not know it. */
  opened<About extends object>(about: About & { readonly request?: RequestOfFile }): About {
    const { request } = about
    if (request === undefined) return about
    return { ...about, request: { ...request, label: this.labelOf(request.requestId) } }
  }

  labelOf(requestId: string): string | null {
    let label = this.#known.get(requestId)
    if (label === undefined) {
      label = readLabel(requestId)
      this.#known.set(requestId, label)
    }
    return label
  }
}

/** Synchronous, because events are. */
function readLabel(requestId: string): string | null {
  try {
    const value: unknown = JSON.parse(readFileSync(join(requestsFolder(), `${requestId}.json`), 'utf8'))
    const isLabelled = typeof value === 'object' && value !== null && 'label' in value
    return isLabelled && typeof value.label === 'string' ? value.label : null
  } catch {
    // The request was made on another machine, or in the page.
    return null
  }
}
