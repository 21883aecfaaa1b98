/** Loaded by `--import`: replaces the modules that REDIRECTED_MODULES names by others. */
import { registerHooks } from 'node:module'

const elsewhere: Record<string, string> = JSON.parse(process.env.REDIRECTED_MODULES ?? '{}')

registerHooks({
  resolve: (specifier, context, nextResolve) => nextResolve(elsewhere[specifier] ?? specifier, context),
})
