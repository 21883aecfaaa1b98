/** `golooader profile`: the profiles of this machine, and moving them to another one. */
import { accessSync, constants } from 'node:fs'
import type { Command } from 'commander'
import type { ImportedProfile, ProfileExport } from '../library/profiles/index.ts'
import { withoutUndefined } from '../protocol/index.ts'
import { interruptSignal, UsageError } from './exit.ts'
import {
  type ConnectionFlags,
  connectionOf,
  flag,
  insecureOption,
  jsonOption,
  option,
  pathOf,
  systemCaOption,
  webAddress,
} from './options.ts'
import { print } from './output.ts'
import { type PassphraseFlags, passphraseFileOption, passphraseOption, requirePassphrase } from './passphrase.ts'
import { fileReason } from './system-errors.ts'
import { counted, printable } from './text.ts'

interface JsonFlag {
  readonly json?: boolean
}

export function profileCommand(program: Command): void {
  const profile = program
    .command('profile')
    .summary('see, rename and move the profiles of this machine')
    .description(
      'A profile is an account at a portal, with its token and its keys. Lists the profiles of this machine, carries one to\n' +
        "another machine in an encrypted file, and follows a portal to a new address. 'golooader join LINK' makes one.",
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader profile                                    the profiles of this machine
  golooader profile export alice --out alice.glp       into one file, encrypted with a passphrase
  golooader profile import alice.glp                   on the other machine
  golooader profile address alice https://files.example
                                                       the portal has a new address
  golooader profile rename alice work`,
    )
  listCommand(profile)
  showCommand(profile)
  renameCommand(profile)
  exportCommand(profile)
  importCommand(profile)
  addressCommand(profile)
  removeCommand(profile)
}

const loadProfiles = () => import('../library/profiles/index.ts')

function listCommand(profile: Command): void {
  profile
    .command('list', { isDefault: true })
    .summary('show the profiles (the default)')
    .description('Shows every profile: its name, its account, and the address of its portal.')
    .addOption(jsonOption())
    .action(async ({ json = false }: JsonFlag) => {
      const profiles = await (await loadProfiles()).listProfiles()
      if (json) return print(profiles.map((one) => `${JSON.stringify(one)}\n`).join(''))
      if (profiles.length === 0) print('no profile yet: golooader join LINK\n')
      const width = Math.max(0, ...profiles.map(({ name }) => name.length))
      for (const { name, account, portalUrl } of profiles) {
        print(`${name.padEnd(width)}  ${account} at ${printable(portalUrl)}\n`)
      }
    })
}

function showCommand(profile: Command): void {
  profile
    .command('show')
    .summary('show one profile, and what this machine keeps for it')
    .description(
      'Shows account, portal and fingerprint of a profile, where its file is, and what this machine keeps for it.',
    )
    .argument('<name>', 'the profile')
    .addOption(jsonOption())
    .action(async (name: string, { json = false }: JsonFlag) => {
      const one = await (await loadProfiles()).showProfile(name)
      if (json) return print(`${JSON.stringify(one)}\n`)
      print(
        `${one.account} at ${printable(one.portalUrl)}\n` +
          `keys: ${one.fingerprint ?? 'none yet'}\n` +
          `file: ${printable(one.path)}\n` +
          `contacts: ${one.contacts}, unfinished transfers: ${one.unfinishedTransfers}\n`,
      )
    })
}

function renameCommand(profile: Command): void {
  profile
    .command('rename')
    .summary('give a profile another name on this machine')
    .description(
      'Renames a profile. The account keeps its name. Scripts and services that name the profile need the new name;\n' +
        'commands that run continue.',
    )
    .argument('<old>', 'the profile')
    .argument('<new>', 'its new name')
    .action(async (from: string, to: string) => {
      await (await loadProfiles()).renameProfile(from, to)
      print(`${from} is called ${to} now\n`)
    })
}

interface ExportFlags extends PassphraseFlags, JsonFlag {
  readonly out?: string
  readonly withTransfers?: boolean
}

const PASSPHRASE_OF = 'the exported profile'

function exportCommand(profile: Command): void {
  profile
    .command('export')
    .summary('write a profile into one encrypted file')
    .description(
      'Writes a profile into one file, encrypted with a passphrase: token and keys, contacts, receipts, links and requests.\n' +
        'Who has both the file and the passphrase has the account. Unfinished transfers stay on this machine; with\n' +
        '--with-transfers they continue where the file is imported, if their files have the same paths there.',
    )
    .argument('<name>', 'the profile')
    .addOption(option('-o, --out <file>', 'the file to write').argParser(pathOf).default(undefined, 'NAME.glp'))
    .addOption(flag('--with-transfers', 'take unfinished transfers along; end their sends on this machine first'))
    .addOption(passphraseOption('ask for the passphrase (the default)'))
    .addOption(passphraseFileOption())
    .addOption(jsonOption())
    .action(async (name: string, flags: ExportFlags) => {
      const { out = `${name}.glp`, withTransfers: transfers = false, json = false } = flags
      const { exportProfile, showProfile } = await loadProfiles()
      await showProfile(name)
      const passphrase = await requirePassphrase(flags, { isNew: true, of: PASSPHRASE_OF })
      const written = await exportProfile(name, { passphrase, file: out, transfers })
      print(json ? `${JSON.stringify({ file: out, ...written })}\n` : exportText(out, written))
    })
}

function exportText(out: string, written: ProfileExport): string {
  const { contacts, receipts, links, requests, transfers, transfersLeft } = written
  const counts = [
    counted(contacts, 'contact'),
    counted(receipts, 'receipt'),
    counted(links, 'link'),
    counted(requests, 'request'),
  ]
  if (transfers > 0) counts.push(`${counted(transfers, 'unfinished transfer')}, no longer continued here`)
  const left =
    transfersLeft === 0
      ? ''
      : `left here: ${counted(transfersLeft, 'unfinished transfer')}, which --with-transfers takes along\n`
  return (
    `written to ${printable(out)}: the profile, ${counts.join(', ')}\n${left}` +
    `on the other machine: golooader profile import ${printable(out)}\n`
  )
}

interface ImportFlags extends PassphraseFlags, JsonFlag {
  readonly as?: string
}

function importCommand(profile: Command): void {
  profile
    .command('import')
    .summary('add a profile from such a file')
    .description(
      'Adds the profile of a file that golooader profile export has written. What this machine has is not replaced. If the\n' +
        'command is interrupted, run it again. Import a file with unfinished transfers on one machine only.',
    )
    .argument('<file>', 'the file', pathOf)
    .addOption(option('--as <name>', 'name for the profile').default(undefined, 'the one that it had'))
    .addOption(passphraseOption('ask for the passphrase (the default)'))
    .addOption(passphraseFileOption())
    .addOption(jsonOption())
    .action(async (file: string, flags: ImportFlags) => {
      requireReadable(file)
      const passphrase = await requirePassphrase(flags, { isNew: false, of: PASSPHRASE_OF })
      const { importProfile } = await loadProfiles()
      const imported = await importProfile(file, withoutUndefined({ passphrase, name: flags.as }))
      print(flags.json === true ? `${JSON.stringify(imported)}\n` : importText(imported))
    })
}

function importText({ profile, account, portalUrl, otherKeys, receipts, transfers }: ImportedProfile): string {
  const other = otherKeys.map(
    (one) => `${one} is known here by other keys than in the file: they were left as they are\n`,
  )
  return (
    `profile ${profile}: ${account} at ${printable(portalUrl)}, ${counted(receipts, 'receipt')}\n${other.join('')}` +
    (transfers === 0 ? '' : `to continue here by the same sends: ${counted(transfers, 'unfinished transfer')}\n`)
  )
}

/** Checked before the passphrase is asked for. @throws UsageError */
function requireReadable(file: string): void {
  try {
    accessSync(file, constants.R_OK)
  } catch (cause) {
    throw new UsageError(`the exported profile cannot be read: ${fileReason(file, cause)}`, { cause })
  }
}

function addressCommand(profile: Command): void {
  profile
    .command('address')
    .summary('follow the portal to its new address')
    .description(
      'Changes the address of the portal of a profile. Before the token is sent there, the portal has to prove that it knows\n' +
        'it. Contacts, receipts, links and unfinished transfers stay those of the profile.',
    )
    .argument('<name>', 'the profile')
    .argument('<url>', 'the new address: https://files.example', webAddress)
    .addOption(flag('--other-name', 'accept an address that is not the one that the portal has in its invites'))
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .action(async (name: string, url: string, flags: JsonFlag & ConnectionFlags & { otherName?: boolean }) => {
      const { otherName = false } = flags
      const { changeProfileAddress } = await loadProfiles()
      const changed = await changeProfileAddress(name, url, {
        ...connectionOf(flags),
        otherName,
        signal: interruptSignal(),
      })
      if (flags.json === true) return print(`${JSON.stringify(changed)}\n`)
      print(`${name}: ${changed.account} at ${printable(changed.portalUrl)}\n`)
    })
}

function removeCommand(profile: Command): void {
  profile
    .command('remove')
    .summary('delete a profile from this machine')
    .description(
      'Deletes a profile from this machine, with its token and its keys. Nothing else has the keys: files that wait for the\n' +
        'account cannot be opened without them. The account is not revoked, and contacts and receipts stay.',
    )
    .argument('<name>', 'the profile')
    .addOption(flag('--yes', 'delete it without the question whether an export exists'))
    .action(async (name: string, { yes = false }: { yes?: boolean }) => {
      const { removeProfile, showProfile } = await loadProfiles()
      const { account, portalUrl } = await showProfile(name)
      if (!yes) {
        throw new UsageError(
          `this deletes the only keys of ${account} at ${portalUrl} on this machine. Keep them first: golooader profile export ${name}\n` +
            `Then, or where they are not needed: golooader profile remove ${name} --yes`,
        )
      }
      await removeProfile(name)
      print(`the profile ${name} is deleted; the account ${account} is not revoked\n`)
    })
}
