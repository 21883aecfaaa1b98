/** Folders as one delivery: the tree format, a tar in the pax interchange format. PROTOCOL.md, Trees. */
export { Column } from './column.ts'
export * from './entry.ts'
export { headerOf } from './tar-header.ts'
export * from './tree-index.ts'
export * from './tree-parser.ts'
