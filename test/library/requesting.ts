/** A program that asks for files, and sends one by its own link: examples.test.ts runs it. */
import { openProfile, openRequest } from 'golooader'

const [file = ''] = process.argv.slice(2)
await using me = await openProfile()
const { link, requestId } = await me.request({ label: 'tax papers', filesMax: 2, bytesMax: 1_000_000 })
await using visit = await openRequest(link ?? '')
const [outcome] = await visit.send(file, { until: 'stored' })
const requests = await me.requests()
const { state } = await me.closeRequest(requestId)
console.log(
  JSON.stringify({
    visit: { owner: visit.owner.account, label: visit.label },
    outcome: outcome?.outcome,
    requests: requests.map((one) => ({ label: one.label, files: one.files, isLinkKnown: one.link === link })),
    closed: state,
  }),
)
