#!/bin/sh
# sirv 3.0.2, serve-handler 6.1.8, @hono/node-server 2.1.9 and http-server 14.1.1 serve ranges and never look at If-Range. A client that continues
# a download says by it which version it has the beginning of: "the rest of this one, or all of the present one". RFC 9110 (13.1.5) demands that
# Range is ignored when they differ. These servers answer 206 with the rest of the present file, and a download that follows the
# standard, as browsers and apt continue theirs, ends as a mixture of two versions with the right size. All four
# send the Last-Modified that tells the versions apart. @fastify/static 10.1.11 and Express 5.3.0 answer 200 with the whole file.
#
# Seen: sirv, serve-handler, @hono/node-server, http-server: 206, 50000 bytes of version two; @fastify/static, express: 200, 100000 bytes
# What helps: a server that knows If-Range; another name for each version; a checksum for the client.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund sirv@3.0.2 serve-handler@6.1.8 @hono/node-server@2.1.9 hono@4.13.19 http-server@14.1.1 \
  fastify@5.12.8 @fastify/static@10.1.11 express@5.3.0
cat >try.mjs <<'JS'
import { once } from 'node:events'
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { buffer } from 'node:stream/consumers'
import fastifyStatic from '@fastify/static'
import { createAdaptorServer } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import httpServer from 'http-server'
import serveHandler from 'serve-handler'
import sirv from 'sirv'

const SIZE = 100000
mkdirSync('site')

/** Replaces the file as a careful program does. */
function publish(version, time) {
  writeFileSync('new', version.repeat(SIZE))
  utimesSync('new', time, time)
  renameSync('new', 'site/file.bin')
}

const withFastify = fastify()
withFastify.register(fastifyStatic, { root: `${process.cwd()}/site` })
await withFastify.ready()
const servers = {
  sirv: http.createServer(sirv('site', { dev: true, etag: true })),
  'serve-handler': http.createServer((request, response) => serveHandler(request, response, { public: 'site' })),
  '@hono/node-server': createAdaptorServer({ fetch: new Hono().use('/*', serveStatic({ root: './site' })).fetch }),
  'http-server': httpServer.createServer({ root: 'site', cache: -1 }).server,
  '@fastify/static': withFastify.server,
  express: http.createServer(express().use(express.static('site'))),
}
const seen = []
for (const [name, server] of Object.entries(servers)) {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const get = async (headers) => {
    const [response] = await once(http.get({ port: server.address().port, host: '127.0.0.1', path: '/file.bin', headers, agent: false }), 'response')
    return { status: response.statusCode, date: response.headers['last-modified'], body: await buffer(response) }
  }
  publish('1', new Date('2025-11-01'))
  const { date } = await get({})
  publish('2', new Date('2025-11-02'))
  const { status, body } = await get({ range: `bytes=${SIZE / 2}-`, 'if-range': date })
  seen.push(`${name}: ${status}, ${body.length} bytes of ${String.fromCharCode(body[0])}`)
}
console.log(seen.join('; '))
process.exit()
JS
seen=$(node try.mjs)
echo "node $(node --version): $seen"
[ "$seen" = 'sirv: 206, 50000 bytes of 2; serve-handler: 206, 50000 bytes of 2; @hono/node-server: 206, 50000 bytes of 2; http-server: 206, 50000 bytes of 2; @fastify/static: 200, 100000 bytes of 2; express: 200, 100000 bytes of 2' ]
