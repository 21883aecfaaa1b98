/** Runs a command of the operator for an event. */
export { type CommandEnd, type CommandOptions, runCommand } from './command.ts'
