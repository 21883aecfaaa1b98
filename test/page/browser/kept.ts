/** A value that the browser stores durably. */
import { change, openDatabase } from '../../../src/page/platform/database.ts'

export async function keep(name: string, value: unknown): Promise<void> {
  const database = await openDatabase(location.href)
  await change(database, 'settings', (settings) => settings.put(value, name))
  database.close()
}

export async function kept(name: string): Promise<unknown> {
  const database = await openDatabase(location.href)
  const value = await database.get('settings', name)
  database.close()
  return value
}
