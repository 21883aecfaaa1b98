/** What went wrong: what the other side said, what that means, and what can be done. */
import { type ProblemJson, printable, problemSentence } from '../../protocol/index.ts'

export interface ProblemTextProps {
  readonly problem: ProblemJson
  readonly advice: string | null
  /** Who said so. */
  readonly who?: string
}

export function ProblemText({ problem, advice, who }: ProblemTextProps) {
  return (
    <p class="problem">
      {who !== undefined && <strong>{who}: </strong>}
      <bdi>{sentenceOf(printable(problemSentence(problem)))}</bdi>{' '}
      {advice !== null && <span class="advice">{advice}</span>}{' '}
      <span class="code soft small">{printable(problem.code)}</span>
    </p>
  )
}

/** What a person wrote may have its own full stop. */
function sentenceOf(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`
}
