// Lets a program of `examples/` import the library by its name, from the sources as they are.
import { registerHooks } from 'node:module'

const entry = new URL('../../src/index.ts', import.meta.url).href
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'golooader' ? { url: entry, shortCircuit: true } : next(specifier, context),
})
