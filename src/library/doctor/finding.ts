/** The findings of `doctor`: one sentence for each check, or the error that the check met. */
export type Finding =
  | {
      readonly check: string
      /** `note`: files travel, but something could be better. */
      readonly verdict: 'ok' | 'note'
      readonly text: string
    }
  | { readonly check: string; readonly verdict: 'bad'; readonly text: string; readonly reason: 'refused' | 'no-answer' }
  | { readonly check: string; readonly verdict: 'bad'; readonly error: unknown }

export function ok(check: string, text: string): Finding {
  return { check, verdict: 'ok', text }
}

export function note(check: string, text: string): Finding {
  return { check, verdict: 'note', text }
}

export function bad(check: string, text: string, reason: 'refused' | 'no-answer'): Finding {
  return { check, verdict: 'bad', text, reason }
}
