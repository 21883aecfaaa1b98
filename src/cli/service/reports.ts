/** What a command that runs as a service tells its manager about itself. */
export interface ServiceReports<Event> {
  readonly onEvent: (event: Event) => void
  /** A command of `--exec` has failed, and nothing else says so. */
  readonly onCommandFailed: () => void
}

/** The end of a status line. */
export function commandsFailedText(count: number): string {
  if (count === 0) return ''
  return count === 1 ? ', 1 command failed' : `, ${count} commands failed`
}
