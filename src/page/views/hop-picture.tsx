/** The picture of README.md: two hops with their progress, and the two notifications that come back. */
import { type Hop, type Picture, shareOf } from '../model/hops.ts'
import { calledOf, timeText } from './words.ts'

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
      <span>{calledOf(name, own)}</span>
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
  return (
    <div class={`hop hop-${number} ${hop.state}`} aria-hidden="true">
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
        <div class="gone" style={{ width: `${shareOf(hop) * 100}%` }} />
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
      return `${Math.floor(shareOf(hop) * 100)} percent`
    case 'held':
      return `waiting at ${Math.floor(shareOf(hop) * 100)} percent`
    default:
      return hop.at === null ? words[hop.state] : `${words[hop.state]} ${timeText(hop.at)}`
  }
}
