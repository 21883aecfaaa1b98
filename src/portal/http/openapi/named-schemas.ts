/** The named schemas of the protocol. A schema that several messages use is described once, and generated clients get a type for it. */
import type { TSchema } from 'typebox'
import * as accounts from '../../../protocol/accounts.ts'
import * as batches from '../../../protocol/batches.ts'
import * as guests from '../../../protocol/guests.ts'
import * as messages from '../../../protocol/messages.ts'
import * as watched from '../../../protocol/watch.ts'
import { describedAs } from './operation.ts'

const { ProblemBody, ...others } = messages
const INT32_MAX = 2 ** 31 - 1

/** JSON of a schema -> its name. Object identity is not enough, because TypeBox copies a schema to make it optional. */
const names = new Map<string, string>()
const schemas = new Map<string, object>()
const all: Record<string, unknown> = { Problem: ProblemBody, ...others, ...accounts, ...guests, ...batches, ...watched }
for (const [name, value] of Object.entries(all)) {
  if (!isSchema(value)) continue
  const text = JSON.stringify(value)
  if (names.has(text)) continue
  names.set(text, name)
  schemas.set(name, value)
}

/** Converts schemas for the document, and collects those that are referred to. */
export class SchemaWriter {
  readonly #written = new Map<string, object>()

  /** The collected schemas, in the order of their names. */
  get components(): Record<string, object> {
    return Object.fromEntries([...this.#written].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** A schema for the document: a reference if it has a name. */
  write(schema: object): object {
    const name = names.get(JSON.stringify(schema))
    if (name === undefined) return this.#members(schema)
    if (!this.#written.has(name)) {
      // Entered before it is written, so that a schema may refer to itself.
      this.#written.set(name, {})
      this.#written.set(name, this.#members(schemas.get(name) ?? {}))
    }
    return { $ref: `#/components/schemas/${name}` }
  }

  #members(schema: object): object {
    const { [describedAs]: described, ...own } = schema as Record<string, unknown>
    if (isRecord(described)) return this.#members({ ...pick(own, 'description'), ...described })
    const members = Object.entries(own).map(([key, value]) => [key, this.#value(key, value)])
    return { ...Object.fromEntries(members), ...formatOf(own) }
  }

  #value(key: string, value: unknown): unknown {
    if (Array.isArray(value)) return value.map((one) => (isRecord(one) ? this.write(one) : one))
    if (!isRecord(value)) return value
    if (key !== 'properties' && key !== 'patternProperties') return this.write(value)
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.write(one as object)]))
  }
}

/** Marks 64-bit integers. Otherwise generated clients in some languages would use 32 bits and fail with large files. */
function formatOf({ type, maximum }: Record<string, unknown>): { format?: 'int64' } {
  const isLong = type === 'integer' && !(typeof maximum === 'number' && maximum <= INT32_MAX)
  return isLong ? { format: 'int64' } : {}
}

function pick(from: Record<string, unknown>, key: string): Record<string, unknown> {
  return key in from ? { [key]: from[key] } : {}
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSchema(value: unknown): value is TSchema {
  return isRecord(value) && ('type' in value || 'anyOf' in value || 'enum' in value)
}
