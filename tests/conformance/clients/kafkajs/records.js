'use strict'

// The records that every client writes and reads; records.tsv says how they are written down.

const fs = require('node:fs')

function bytesOf(text) {
  if (text === '-') return null
  if (text === '.') return Buffer.alloc(0)
  const [what, times] = text.split('*')
  if (what.startsWith('~')) return sequence(Number(what.slice(1)), Number(times))
  const once = Buffer.from(what, 'hex')
  return times === undefined ? once : Buffer.concat(new Array(Number(times)).fill(once))
}

function sequence(start, length) {
  const made = Buffer.alloc(length)
  let state = start
  for (let at = 0; at < length; at++) {
    state = (state * 16807) % 2147483647
    made[at] = state & 0xff
  }
  return made
}

function recordOf(line) {
  const [partition, timestamp, key, value, headers, unwritableBy] = line.split('\t')
  const pairs = headers === '-' ? [] : headers.split(',').map(pair => pair.split(':'))
  return {
    partition: Number(partition),
    timestamp,
    key: bytesOf(key),
    value: bytesOf(value),
    headers: pairs.map(([name, bytes]) => [bytesOf(name).toString(), bytesOf(bytes)]),
    unwritableBy: unwritableBy.split(','),
  }
}

// The records that `writer`, a client's name, can write, in their order.
function load(path, writer) {
  return fs
    .readFileSync(path, 'ascii')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(recordOf)
    .filter(record => !record.unwritableBy.includes(writer))
}

// Headers as kafkajs has them: by name, with all values of a name in their order.
function byName(pairs) {
  const headers = {}
  for (const [name, value] of pairs) {
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else headers[name] = Array.isArray(before) ? [...before, value] : [before, value]
  }
  return headers
}

module.exports = { load, byName }
