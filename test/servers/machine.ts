/** A machine of a test: a user with a home folder and a systemd manager of its own, in the network of this one. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished } from 'vitest'
import type { Ended, Running, World } from '../e2e/harness/world.ts'
import { UserManager } from './user-manager.ts'

export class Machine {
  readonly world: World
  readonly home: string
  #manager: UserManager
  /** Whether it has power. */
  #isOn = true

  private constructor(world: World, home: string, manager: UserManager) {
    this.world = world
    this.home = home
    this.#manager = manager
  }

  /** @param home the home folder of its user */
  static async start(world: World, home = world.folder): Promise<Machine> {
    mkdirSync(home, { recursive: true })
    const machine = new Machine(world, home, await UserManager.start(home))
    onTestFinished(() => machine.#manager[Symbol.asyncDispose]())
    return machine
  }

  path(...names: string[]): string {
    return join(this.home, ...names)
  }

  /** Kills everything that runs, as a loss of power does, and boots: services that are installed start by themselves. */
  async reboot(): Promise<void> {
    this.#isOn = false
    await this.#manager[Symbol.asyncDispose]()
    this.#manager = await UserManager.start(this.home)
    this.#isOn = true
  }

  /** Starts a command of this project, in the home folder. @param wrapper another program that runs it */
  start(args: readonly string[], wrapper: readonly string[] = []): Running {
    return this.world.start(args, { wrapper: [...this.#manager.wrapper, ...wrapper], env: this.#env() })
  }

  /** Runs a command to its end, whose exit code is expected. */
  async run(code: number, ...args: string[]): Promise<Ended> {
    const ended = await this.start(args).ended
    expect(ended.code, `${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`).toBe(code)
    return ended
  }

  /** @returns a link to the portal of the world */
  async invite(account: string): Promise<string> {
    const invited = await this.world.run('invite', account, '--data', this.world.dataFolder)
    expect(invited.code, invited.stderr).toBe(0)
    return invited.stdout.trim()
  }

  /** Joins the portal of the world. */
  async join(account: string): Promise<void> {
    await this.run(0, 'join', await this.invite(account))
  }

  /** Runs a command of the shell. @returns its standard output */
  async shell(command: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const [program = '', ...args] = [...this.#manager.wrapper, 'sh', '-ec', command]
    const { stdout } = await promisify(execFile)(program, args, {
      env: { PATH: process.env.PATH, ...this.#env(), ...env },
    })
    return stdout
  }

  systemctl(...args: string[]): Promise<string> {
    return this.shell(`systemctl --user ${args.join(' ')}`)
  }

  /** The state and the last lines of a service. */
  log(name: string): Promise<string> {
    return this.shell(`systemctl --user status --no-pager --lines=30 golooader-${name} || true`)
  }

  /** Kills the process of a service, if it has one at the moment. */
  async kill(name: string): Promise<void> {
    if (!this.#isOn) return
    const manager = this.#manager
    try {
      await this.shell(`systemctl --user kill --signal=KILL golooader-${name} 2>/dev/null || true`)
    } catch (error) {
      // It lost its power meanwhile.
      if (this.#isOn && this.#manager === manager) throw error
    }
  }

  unitPath(name: string): string {
    return this.path('.config/systemd/user', `golooader-${name}.service`)
  }

  /** Changes settings of a service for a test. It takes effect at the next start of the service. */
  async adjust(name: string, settings: string): Promise<void> {
    mkdirSync(`${this.unitPath(name)}.d`, { recursive: true })
    writeFileSync(`${this.unitPath(name)}.d/test.conf`, `[Service]\n${settings}\n`)
    await this.systemctl('daemon-reload')
  }

  /** What `service status --json` says. */
  async status(name: string): Promise<Record<string, unknown>> {
    return JSON.parse((await this.start(['service', 'status', name, '--json']).ended).stdout)
  }

  #env(): Record<string, string> {
    return {
      HOME: this.home,
      XDG_CONFIG_HOME: this.path('.config'),
      XDG_STATE_HOME: this.path('.local/state'),
      ...this.#manager.env,
    }
  }
}
