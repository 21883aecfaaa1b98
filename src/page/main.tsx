import { render } from 'preact'

const place = document.getElementById('page')
if (place === null) throw new Error('the page has no place for itself')
render(<h1>GoLooader</h1>, place)
