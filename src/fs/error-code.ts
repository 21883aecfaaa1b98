/** The code by which Node names an error of the system. A file of its own, so that the command line can use it before it loads more. */

/** Whether an error of the file system has that code. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
