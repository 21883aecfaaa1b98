/** The web page of GoLooader. It uses the same core as the command line. */
// This import comes first: the other modules need the symbols that it defines.
import './platform/disposables.ts'
import { startPage } from './model/start.ts'
import { AppView } from './views/app.tsx'
import { show } from './views/show.tsx'

const { stage, takeOver } = startPage()
show(<AppView stage={stage} takeOver={takeOver} />)
