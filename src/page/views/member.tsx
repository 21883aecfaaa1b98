/** The page of a browser that has an account: the header, the tabs, and the selected view. */
import type { ComponentChildren } from 'preact'
import { useEffect, useErrorBoundary } from 'preact/hooks'
import { tokenRemovedText } from '../../client/index.ts'
import type { ProblemJson } from '../../protocol/index.ts'
import type { Member } from '../model/types.ts'
import { Detail } from './detail.tsx'
import { HistoryView } from './history.tsx'
import { IdentityView } from './identity.tsx'
import { focusOn } from './kept-focus.ts'
import { Mark } from './mark.tsx'
import { isOffline } from './offline.ts'
import { OperationsView } from './operations.tsx'
import { useDrop, useLeaveWarning } from './page-events.ts'
import { ProblemText } from './problem.tsx'
import { Receive } from './receive.tsx'
import { detailHash, type Route, route } from './route.ts'
import { type Selection, useSelection } from './selection.ts'
import { Send } from './send.tsx'

export function MemberView({ member }: { readonly member: Member }) {
  const selection = useSelection()
  useLeaveWarning(member.outgoing.files)
  const isOver = useDrop((picking) => {
    location.hash = '#send'
    selection.add(picking)
  })
  return (
    <div class={isOver ? 'dropping' : ''} data-drop="Drop to send">
      <div class="page">
        <Head member={member} />
        <Notices member={member} />
        <main id="main">
          <Guarded key={keyOf(route.value)}>
            <Chosen member={member} now={route.value} selection={selection} />
          </Guarded>
        </main>
      </div>
    </div>
  )
}

/** The address of the page itself shows the same view as `#send`, and keeps what was entered there. */
function keyOf(now: Route): string {
  return now.view === 'detail' ? detailHash(now.transferId, now.isOwn) : now.view
}

/** An error in one view leaves the other views and all transfers running. */
function Guarded({ children }: { readonly children: ComponentChildren }) {
  const [error] = useErrorBoundary()
  if (error === undefined) return <>{children}</>
  return (
    <p class="notice bad" role="alert">
      This view failed: {error instanceof Error ? error.message : String(error)}. Your transfers continue. Choose
      another view, or reload the page.
    </p>
  )
}

interface ChosenProps {
  readonly member: Member
  readonly now: Route
  readonly selection: Selection
}

function Chosen({ member, now, selection }: ChosenProps) {
  switch (now.view) {
    case 'send':
      return <Send member={member} selection={selection} />
    case 'receive':
      return <Receive member={member} />
    case 'history':
      return <HistoryView member={member} />
    case 'detail':
      return <Detail key={now.transferId} member={member} transferId={now.transferId} isOwn={now.isOwn} />
    case 'you':
      return <IdentityView member={member} />
    case 'portal':
      return member.operations.value === null ? (
        <Send member={member} selection={selection} />
      ) : (
        <OperationsView operations={member.operations.value} />
      )
  }
}

const titles = { send: 'Send', receive: 'Receive', history: 'History', you: 'You', portal: 'Portal' } as const

function Head({ member }: { readonly member: Member }) {
  const { account, incoming, operations } = member
  const asking = incoming.files.value.filter(({ progress }) => progress.value.phase === 'asking').length
  const current = route.value.view === 'detail' ? 'history' : route.value.view
  const tabs = Object.entries(titles).filter(([view]) => view !== 'portal' || operations.value !== null)
  useEffect(() => {
    document.title = `${asking > 0 ? `(${asking}) ` : ''}${titles[current]} · GoLooader`
  })
  return (
    <header class="head">
      <button type="button" class="unseen skip" onClick={skipToMain}>
        Skip to the content
      </button>
      <p class="mark">
        <Mark /> GoLooader
      </p>
      <p class="who small">
        <strong>{account}</strong> <span class="soft">at {location.host}</span>{' '}
        <span class="problem" role="status">
          {connectionText(member)}
        </span>
      </p>
      <nav class="tabs" aria-label="Views">
        {tabs.map(([view, title]) => (
          <a key={view} href={`#${view}`} aria-current={view === current ? 'page' : undefined}>
            {title}
            {view === 'receive' && asking > 0 && (
              <span class="count">
                {asking}
                <span class="unseen"> waiting for you</span>
              </span>
            )}
          </a>
        ))}
      </nav>
    </header>
  )
}

const connectionTexts = { connected: '', connecting: '· connecting…', lost: '· no connection, trying again…' } as const

/** The error that stopped everything comes first: after it the page retries nothing. */
function connectionText({ trouble, connection, isHeldBack }: Member): string {
  if (trouble.value?.code === 'credentials-invalid') return '· the portal no longer accepts this browser'
  if (trouble.value !== null) return '· stopped'
  if (isOffline.value) return '· this device is offline'
  return connection.value === 'connected' && isHeldBack.value
    ? '· a proxy delays messages from the portal, so this page asks for them repeatedly'
    : connectionTexts[connection.value]
}

/** A button, because the fragment of the address already names the view. */
function skipToMain(): void {
  focusOn(document.getElementById('main'))
}

function Notices({ member }: { readonly member: Member }) {
  const { trouble, incoming } = member
  return (
    <>
      {trouble.value !== null && (
        <div class="notice bad" role="alert">
          <ProblemText problem={trouble.value} advice={adviceInTrouble(trouble.value)} />
        </div>
      )}
      {incoming.lapse.value !== null && (
        <div class="notice row" role="alert">
          <p>{lapseTexts[incoming.lapse.value]}</p>
          <button type="button" class="slim push" onClick={() => void incoming.chooseFolder()}>
            {incoming.lapse.value === 'permission' ? 'Allow the folder' : 'Choose another folder…'}
          </button>
        </div>
      )}
    </>
  )
}

function adviceInTrouble({ code }: ProblemJson): string {
  switch (code) {
    case 'credentials-invalid':
      return ASK_FOR_INVITE
    case 'credentials-missing':
      return tokenRemovedText
    default:
      return RELOAD
  }
}

const ASK_FOR_INVITE =
  'Nothing is sent or received any more. Ask the operator of the portal for a new invite, and open it here.'
const RELOAD = 'Nothing is received until you reload this page.'

const lapseTexts = {
  permission: 'The browser needs your permission again to write to the folder that you chose. Files wait until then.',
  missing: 'The folder that you chose is missing. Files wait until you choose another one.',
} as const
