/**
 * Detects that a proxy between sender and portal ends uploads. Proxies limit the size and the time of a request, and most close the
 * connection without an answer. Sending the same part again would fail every time.
 *
 * Uploads also fail when the portal is away. So after each failed upload the sender makes a small request. The parts are too large
 * for the way only if small requests get through and no part does. A load balancer sends requests to a dead node until its health
 * check notices. So an upload has to fail that began after such a check. When it fails does not matter: on a busy machine that can
 * be much later.
 */
import { isPassing, NoResponseError, RemoteProblem, type RetryPolicy } from '../client/index.ts'
import { bytesText } from '../protocol/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { wireLayoutOf } from './layout.ts'

/** After this many failures of a part, while no other part got through, the part counts as too large. */
const CUTS_MAX = 3

/** Within this time a load balancer notices that a node is gone. The configurations in deploy/ take 4 to 6 seconds. */
const BALANCER_MS = 10_000

/** Parts of this size do not get through. The message names the probable cause. */
export class UploadsCutError extends Error {
  override readonly name = 'UploadsCutError'
}

/** The upload to which a failed part belongs. */
interface CutUpload {
  readonly context: SendContext
  readonly entry: JournalEntry
  readonly retryPolicy: RetryPolicy
}

interface Cut {
  readonly upload: CutUpload
  readonly partNumber: number
  /** When this upload of the part began, by `performance.now()`. */
  readonly beganAtMs: number
  readonly signal: AbortSignal
}

/** The failed uploads of one file, including those of its transfers with larger parts. */
export class UploadCuts {
  /** How often in a row each part failed. */
  readonly #counts = new Map<number, number>()
  /** When the first of them failed, by `performance.now()`; null while there is none. */
  #sinceMs: number | null = null

  /** Starts counting again: a part got through, or the portal is away. */
  forget(): void {
    this.#counts.clear()
    this.#sinceMs = null
  }

  /**
   * Counts a failed upload.
   *
   * @throws UploadsCutError when parts of this size do not get through; RemoteProblem that no retry can solve; the reason of `signal`
   */
  async check(error: unknown, cut: Cut): Promise<void> {
    if (!isCut(error)) return
    const nowMs = performance.now()
    if (!(await portalAnswers(cut))) {
      this.forget()
      return
    }
    this.#sinceMs ??= nowMs
    const count = (this.#counts.get(cut.partNumber) ?? 0) + 1
    this.#counts.set(cut.partNumber, count)
    const isPermanent = error instanceof NoResponseError && error.isPermanent
    // If the sender gives up sooner than a health check takes, it still leaves time to try smaller parts.
    const provenMs = Math.min(BALANCER_MS, cut.upload.retryPolicy.stallTimeoutMs)
    if (!isPermanent && (count < CUTS_MAX || cut.beganAtMs - this.#sinceMs < provenMs)) return
    // Parts of another size are counted from the start.
    this.#counts.clear()
    throw new UploadsCutError(isPermanent ? error.message : textOf(error, cut, nowMs), { cause: error })
  }
}

async function portalAnswers({ upload: { context, retryPolicy }, signal }: Cut): Promise<boolean> {
  try {
    await context.client.limits({ stallTimeoutMs: retryPolicy.stallTimeoutMs, signal })
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (isPassing(error)) return false
    throw error
  }
}

function textOf(error: Error, { upload, beganAtMs }: Cut, endedAtMs: number): string {
  const { partSizeBytes, sizeBytes } = wireLayoutOf(upload.entry)
  const size = bytesText(Math.min(partSizeBytes, sizeBytes))
  const after = `${Math.max(1, Math.round((endedAtMs - beganAtMs) / 1000))} s`
  return (
    `each upload of ${size} ends after about ${after}, while small requests get through: probably a proxy between here and ` +
    `the portal limits how long a request may take, or how large it may be (${error.message})`
  )
}

/** Whether the peer or a proxy ended an upload. When the proxy passes the answer on, the portal says that the part is incomplete. */
function isCut(error: unknown): error is NoResponseError | RemoteProblem {
  if (error instanceof NoResponseError) return error.isCut
  return error instanceof RemoteProblem && error.code === 'part-incomplete'
}
