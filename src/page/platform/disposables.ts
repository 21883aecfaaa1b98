/**
 * Defines the symbols of `using` for browsers without them (WebKitGTK 2.50). The build compiles `using` to older
 * syntax, but a class needs the symbol to name its method. `main.tsx` and each worker import this module first.
 */
const symbols: { dispose?: symbol; asyncDispose?: symbol } = Symbol

if (symbols.dispose === undefined) Object.defineProperty(Symbol, 'dispose', { value: Symbol.for('Symbol.dispose') })
if (symbols.asyncDispose === undefined) {
  Object.defineProperty(Symbol, 'asyncDispose', { value: Symbol.for('Symbol.asyncDispose') })
}
