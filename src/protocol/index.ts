/** What goes over the wire, for anybody who writes another client: see PROTOCOL.md. */
export * from './digests.ts'
export * from './ids.ts'
export * from './limits.ts'
export * from './messages.ts'
export * from './parts.ts'
export * from './problems.ts'
export * from './states.ts'
export * from './text.ts'
