/**
 * Loaded into a process before anything else (`--import`): its time of day is that of the machine and as many milliseconds more as the
 * file that `TEST_CLOCK` names says, whenever that changes. What passes evenly, `performance.now()` and timers, stays as it is,
 * as when the clock of a machine is set.
 */
import { readFileSync } from 'node:fs'

const LOOK_MS = 20
const path = process.env.TEST_CLOCK
const MachineDate = Date
let aheadMs = 0
let lookedAtMs = Number.NEGATIVE_INFINITY

function nowMs() {
  if (performance.now() - lookedAtMs > LOOK_MS) {
    lookedAtMs = performance.now()
    aheadMs = Number(readFileSync(path, 'utf8'))
  }
  return MachineDate.now() + aheadMs
}

class SetDate extends MachineDate {
  constructor(...given) {
    if (given.length === 0) super(nowMs())
    else super(...given)
  }

  static now() {
    return nowMs()
  }
}

Object.defineProperty(SetDate, 'name', { value: 'Date' })
globalThis.Date = SetDate
