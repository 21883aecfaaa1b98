/** Copies a text that the page shows. */
import { useSignal } from '@preact/signals'
import { copyText } from '../platform/browser.ts'

export function CopyButton({ text }: { readonly text: string }) {
  const said = useSignal('')
  const copy = async (): Promise<void> => {
    try {
      await copyText(text)
      said.value = 'Copied'
    } catch {
      // The browser may forbid it. The user can still select the text.
      said.value = 'The browser does not allow copying: select the text instead'
    }
  }
  return (
    <p class="row">
      <button type="button" class="slim" onClick={() => void copy()}>
        Copy
      </button>
      <span class="soft small" role="status">
        {said.value}
      </span>
    </p>
  )
}
