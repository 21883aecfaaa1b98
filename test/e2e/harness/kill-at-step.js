/**
 * Loaded into a process before anything else (`--import`): kills it right before the step that `TEST_KILL_AT_STEP` numbers, of those that change
 * the file system below the folder `TEST_STEPS_IN`. With `TEST_STEPS_AFTER`, steps count once a folder is made whose path ends so. Without a
 * number, it writes the number of steps to the file that `TEST_STEPS` names when the process ends. See `kill-at-step.ts`.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const killAt = Number(process.env.TEST_KILL_AT_STEP)
let steps = 0
const { TEST_STEPS_IN: folder = '', TEST_STEPS_AFTER: first = '' } = process.env
let isBegun = first === ''

function count(owner, name, isStep = () => true) {
  const call = owner[name]
  owner[name] = function counted(...args) {
    isBegun ||= name === 'mkdir' && String(args[0]).endsWith(first)
    if (isBegun && isStep(args) && ++steps === killAt) process.kill(process.pid, 'SIGKILL')
    return Reflect.apply(call, this, args)
  }
}

const isInFolder = (path) => typeof path !== 'string' || path.startsWith(folder)
const isWriting = ([path, flag = 'r']) => flag !== 'r' && isInFolder(path)
const anyFile = await fs.promises.open('/dev/null')
const handle = Object.getPrototypeOf(anyFile)
await anyFile.close()
for (const name of ['rename', 'unlink', 'mkdir', 'rmdir', 'rm', 'link']) {
  count(fs.promises, name, ([path]) => isInFolder(path))
}
for (const name of ['renameSync', 'linkSync', 'unlinkSync', 'mkdirSync']) count(fs, name, ([path]) => isInFolder(path))
for (const name of ['sync', 'datasync', 'writev']) count(handle, name)
for (const name of ['writevSync', 'fsync', 'fdatasync']) count(fs, name)
count(fs, 'openSync', isWriting)
count(fs.promises, 'open', isWriting)
syncBuiltinESMExports()
if (process.env.TEST_STEPS) process.on('exit', () => fs.writeFileSync(process.env.TEST_STEPS, String(steps)))
