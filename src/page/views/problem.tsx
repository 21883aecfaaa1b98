/** A problem: what the other side reported, what that means, and what the user can do. */
import { type ProblemJson, printable, problemSentence } from '../../protocol/index.ts'

export interface ProblemTextProps {
  readonly problem: ProblemJson
  readonly advice: string | null
  /** Who reported it. */
  readonly who?: string
}

export function ProblemText({ problem, advice, who }: ProblemTextProps) {
  return (
    <p class="problem">
      {who !== undefined && <strong>{who}: </strong>}
      <bdi>{sentence(printable(problemSentence(problem)))}</bdi>{' '}
      {advice !== null && <span class="advice">{advice}</span>}{' '}
      <span class="code soft small">{printable(problem.code)}</span>
    </p>
  )
}

/** Users end their sentences with a full stop, programs do not. */
function sentence(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`
}
