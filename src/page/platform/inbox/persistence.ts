/**
 * Whether what is kept here may be removed by the browser when its disk gets full. Some browsers ask their user; so it is
 * best asked for when the user has just accepted a file.
 *
 * @returns whether it stays
 */
export async function askToPersist(): Promise<boolean> {
  const { storage } = navigator
  return (await storage.persisted()) || (await storage.persist())
}
