/** Tools for asynchronous code. All of them run in Node and in browsers, and whatever waits takes an AbortSignal. */
export * from './backoff.ts'
export * from './deadline.ts'
export * from './gatherer.ts'
export * from './keyed-mutex.ts'
export * from './retry.ts'
export * from './semaphore.ts'
export * from './shared-calls.ts'
export * from './sleep.ts'
