/** Wake-ups: the contract, those of one process, and how to wait for them. Those of several are loaded where they are asked for. */
export * from './contract.ts'
export { localSignals } from './local.ts'
export { Waiter, type WokenBy } from './waiter.ts'
