/** The picture of README.md: two hops with their progress, and the two notifications that come back. */
import { bytesText } from '../../protocol/index.ts'
import { calledOf } from '../model/called.ts'
import { type Hop, type Picture, shareOf } from '../model/hops.ts'
import { timeText } from './words.ts'

export interface HopPictureProps {
  readonly picture: Picture
  /** The account of this page, which the picture calls "you". */
  readonly own: string
}

export function HopPicture({ picture, own }: HopPictureProps) {
  const { sender, first, second } = picture
  return (
    <div class="picture" role="img" aria-label={describe(picture, own)}>
      <Party name={sender} own={own} />
      <HopLane hop={first} number={1} words={firstWords} />
      <div class="party portal" aria-hidden="true">
        portal
      </div>
      <div class="lanes">
        {second.map(({ receiver, hop }) => (
          <div class="lane" key={receiver}>
            <HopLane hop={hop} number={2} words={secondWords} />
            <Party name={receiver} own={own} />
          </div>
        ))}
      </div>
    </div>
  )
}

function Party({ name, own }: { readonly name: string; readonly own: string }) {
  return (
    <div class="party" aria-hidden="true" title={name}>
      <span>{calledOf(name, own).replace(/^a (?=guest$)/, '')}</span>
    </div>
  )
}

interface Words {
  readonly done: string
  readonly failed: string
}

const firstWords: Words = { done: 'stored', failed: 'refused' }
const secondWords: Words = { done: 'delivered', failed: 'failed' }

function HopLane({ hop, number, words }: { readonly hop: Hop; readonly number: 1 | 2; readonly words: Words }) {
  const share = shareOf(hop)
  // Of a stream without an end there is no share to draw: the bar says only that bytes have come.
  const isUnsized = share === null && 'doneBytes' in hop && hop.doneBytes > 0
  return (
    <div class={`hop hop-${number} ${hop.state} ${isUnsized ? 'unsized' : ''}`} aria-hidden="true">
      <div class="told">
        <span class="number">{number}</span>
        {(hop.state === 'done' || hop.state === 'failed') && (
          <span class="word">
            {words[hop.state]}
            {hop.at !== null && <span class="at"> {timeText(hop.at)}</span>}
          </span>
        )}
      </div>
      <div class="way">
        <div class="gone" style={{ width: `${(share ?? (isUnsized ? 1 : 0)) * 100}%` }} />
      </div>
    </div>
  )
}

/** The picture as text, for screen readers. */
function describe({ sender, first, second }: Picture, own: string): string {
  const hops = second.map(
    ({ receiver, hop }) => `from the portal to ${calledOf(receiver, own)}: ${hopText(hop, secondWords)}`,
  )
  return [`from ${calledOf(sender, own)} to the portal: ${hopText(first, firstWords)}`, ...hops].join('; ')
}

function hopText(hop: Hop, words: Words): string {
  switch (hop.state) {
    case 'ahead':
      return 'not started'
    case 'moving':
      return shareText(hop)
    case 'held':
      return `waiting at ${shareText(hop)}`
    default:
      return hop.at === null ? words[hop.state] : `${words[hop.state]} ${timeText(hop.at)}`
  }
}

function shareText(hop: Hop & { readonly doneBytes: number }): string {
  const share = shareOf(hop)
  return share === null ? `${bytesText(hop.doneBytes)}, size not known yet` : `${Math.floor(share * 100)} percent`
}
