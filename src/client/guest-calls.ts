/** The requests about guests and about requests for files. They throw like those of `PortalClient`. */
import {
  AccountStatus,
  FileRequest,
  type FileRequestJoin,
  FileRequestPage,
  type FileRequestQuestion,
  FileRequestView,
  MadeGuests,
  type NewFileRequest,
  type NewGuests,
} from '../protocol/index.ts'
import type { AskJson, CallOptions } from './calls.ts'
import { query } from './paths.ts'

export class GuestCalls {
  readonly #ask: AskJson

  constructor(ask: AskJson) {
    this.#ask = ask
  }

  /**
   * Makes receiving guests of this account, all or none. Repeating the request is harmless.
   *
   * @throws RemoteProblem `guests-off`, `keys-missing` (this account has none), `too-many-guests`, `guest-conflict`, `request-invalid`
   *   (they would live longer than the portal allows)
   */
  make(guests: NewGuests, options?: CallOptions): Promise<MadeGuests> {
    return this.#ask('POST', '/v1/guests', MadeGuests, guests, options)
  }

  /**
   * Makes a request for files from anybody with its link. Repeating the request is harmless.
   *
   * @throws RemoteProblem like `make`
   */
  request(request: NewFileRequest, options?: CallOptions): Promise<FileRequest> {
    return this.#ask('POST', '/v1/requests', FileRequest, request, options)
  }

  /** The requests of this account, newest first; `before` is the last page's `before`. */
  requests(page: { before?: string; limit?: number } = {}, options?: CallOptions): Promise<FileRequestPage> {
    return this.#ask('GET', `/v1/requests${query(page)}`, FileRequestPage, undefined, options)
  }

  /** Closes a request. Files that are stored are still delivered; uploads under way end with `request-closed`. */
  closeRequest(requestId: string, options?: CallOptions): Promise<FileRequest> {
    return this.#ask('DELETE', `/v1/requests/${requestId}`, FileRequest, undefined, options)
  }

  /** What a visitor with the link learns. Nothing changes. @throws RemoteProblem `link-invalid` */
  look(question: FileRequestQuestion, options?: CallOptions): Promise<FileRequestView> {
    return this.#ask('POST', '/v1/requests/look', FileRequestView, question, options)
  }

  /** Makes the visitor a sending guest. Repeating it with the same token is harmless. @throws RemoteProblem `link-invalid`, `guest-conflict`, `too-many-guests` */
  join(request: FileRequestJoin, options?: CallOptions): Promise<AccountStatus> {
    return this.#ask('POST', '/v1/requests/join', AccountStatus, request, options)
  }
}
