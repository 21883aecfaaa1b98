/** Measures processor time. Waiting and the work of other processes do not count. */

/** The processor time of `act`, in milliseconds. */
export async function cpuMsOf(act: () => unknown): Promise<number> {
  const before = process.cpuUsage()
  await act()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
