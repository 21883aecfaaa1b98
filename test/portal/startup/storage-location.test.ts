/** The portal reports where it stores its data, correctly and without secrets. */
import { expect, test } from 'vitest'
import { storageLocationOf } from '../../../src/portal/startup/storage-location.ts'

const dataFolder = './golooader-data'
const storeUrl = 's3://parts/here?endpoint=https://s3.example'
const databaseUrl = 'postgres://gl:pass-word@db.example:5433/gl?sslmode=verify-full&password=pass-word'
const ledger = 'postgres://gl@db.example:5433/gl'

test.each([
  [null, null, { ledger: dataFolder, parts: dataFolder }],
  [databaseUrl, null, { ledger, parts: dataFolder }],
  [null, storeUrl, { ledger: dataFolder, parts: storeUrl }],
  [databaseUrl, storeUrl, { ledger, parts: storeUrl }],
])('database %s and store %s', (database, store, places) => {
  expect(storageLocationOf({ dataFolder, databaseUrl: database, storeUrl: store })).toEqual(places)
})
