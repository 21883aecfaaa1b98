/** What a file is for that a guest sends: the label of the request, written by this account. */
import { printable } from '../../protocol/index.ts'

export function Purpose({ label }: { readonly label: string | null }) {
  return label === null ? null : <bdi> for “{printable(label)}”</bdi>
}
