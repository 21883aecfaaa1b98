/** Runs a command of the operator for an event. */
export { type CommandEnd, type CommandOptions, endText, runCommand } from './command.ts'
