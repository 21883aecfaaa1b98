import { expect, test } from 'vitest'
import { filledText } from '../../src/cli/main.ts'

test('the lines of prose are broken for the width; examples, empty lines and long words stay as they are', () => {
  const example = '  golooader send a.bin --to bob      one file, and nothing else\n'
  const address = 'https://portal.example/an/address/that/is/long'
  const text = `\nSends files\nto receivers, each with a receipt. And\nmore.\n\nExamples:\n${example}\n${address} is kept\n`
  const filled = `\nSends files to receivers, each with a\nreceipt. And more.\n\nExamples:\n${example}\n${address}\nis kept\n`
  expect(filledText(text, 40)).toBe(filled)
  expect(filledText('one\ntwo', 40)).toBe('one two')
})
