/** A typed client of the portal's HTTP interface; used by sender and receiver. */
export * from './answers.ts'
export * from './incoming-part.ts'
export * from './loopback.ts'
export * from './parts-in-flight.ts'
export * from './patience.ts'
export * from './portal-client.ts'
export * from './rate.ts'
export * from './transport.ts'
