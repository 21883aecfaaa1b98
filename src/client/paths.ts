/** Paths of requests, as the client writes them. */

export function eventsPath(transferId: string | undefined): string {
  return transferId === undefined ? '/v1/events' : `/v1/transfers/${transferId}/events`
}

export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  )
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
