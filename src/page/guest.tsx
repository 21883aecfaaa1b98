/** The page of a link, for people without an account. It uses the same core as the page of an account. */
// This import comes first: the other modules need the symbols that it defines.
import './platform/disposables.ts'
import { startGuestPage } from './model/guest-start.ts'
import { GuestView } from './views/guest-app.tsx'
import { show } from './views/show.tsx'

const { stage, takeOver } = startGuestPage()
show(<GuestView stage={stage} takeOver={takeOver} />)
