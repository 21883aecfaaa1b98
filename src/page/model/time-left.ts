/** The estimated time for the rest at the current rate; null where there is no estimate. */
export function leftMsAt(bytesPerSecond: number | null, restBytes: number): number | null {
  return bytesPerSecond === null || bytesPerSecond < 1 ? null : (restBytes / bytesPerSecond) * 1000
}
