/**
 * Loaded into a process before anything else (`--import`): kills it right before the step that `TEST_KILL_AT_STEP` numbers, of those that change
 * the file system, from the time on that the folder is tried and locked. Without that variable, it writes the number of steps to the file that `TEST_STEPS` names when the process ends.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const killAt = Number(process.env.TEST_KILL_AT_STEP)
let steps = 0
let isBegun = false

function count(owner, name, isStep = () => true) {
  const call = owner[name]
  owner[name] = function counted(...args) {
    isBegun ||= name === 'mkdir' && /\/sent$/.test(args[0])
    if (isBegun && isStep(args) && ++steps === killAt) process.kill(process.pid, 'SIGKILL')
    return Reflect.apply(call, this, args)
  }
}

const isOfWatch = (path) => typeof path !== 'string' || /outbox-|state/.test(path)
const isWriting = ([path, flag = 'r']) => flag !== 'r' && isOfWatch(path)
const anyFile = await fs.promises.open('/dev/null')
const handle = Object.getPrototypeOf(anyFile)
await anyFile.close()
for (const name of ['rename', 'unlink', 'mkdir', 'rmdir', 'rm', 'link']) {
  count(fs.promises, name, ([path]) => isOfWatch(path))
}
for (const name of ['renameSync', 'linkSync', 'unlinkSync', 'mkdirSync']) count(fs, name, ([path]) => isOfWatch(path))
for (const name of ['sync', 'datasync', 'writev']) count(handle, name)
for (const name of ['writevSync', 'fsync', 'fdatasync']) count(fs, name)
count(fs, 'openSync', isWriting)
count(fs.promises, 'open', isWriting)
syncBuiltinESMExports()
if (process.env.TEST_STEPS) process.on('exit', () => fs.writeFileSync(process.env.TEST_STEPS, String(steps)))
