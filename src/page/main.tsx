/** The page: one of the faces of GoLooader, beside the command line. */
import { render } from 'preact'
import { startPage } from './model/start.ts'
import './style/base.css'
import './style/picture.css'
import './style/layout.css'
import './style/lists.css'
import { App } from './views/app.tsx'

const place = document.getElementById('page')
if (place === null) throw new Error('the page has no place for itself')
const { stage, takeOver } = startPage()
render(<App stage={stage} takeOver={takeOver} />, place)
