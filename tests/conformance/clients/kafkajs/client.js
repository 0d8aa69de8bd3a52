'use strict'

// kafkajs against a broker.
//
// client.js produce ADDRESS RECORDS TOPIC CODEC
// client.js read ADDRESS RECORDS TOPIC...   compares every byte, a line of results a topic
// client.js own ADDRESS PREFIX              tests of its own: groups, transactions, administration

const assert = require('node:assert')
const codecs = require('./codecs')
const own = require('./own')
const { load, byName } = require('./records')
const { Broker } = require('./support')

const NAME = 'kafkajs'

async function report(name, test) {
  try {
    await test()
    console.log(`ok ${name}`)
  } catch (error) {
    console.error(error)
    const reason = String(error.message).split(/\s+/).join(' ')
    console.log(`not ok ${name}: ${reason.slice(0, 400)}`)
  }
}

async function produce(broker, path, topic, codec) {
  const messages = load(path, NAME).map(({ partition, timestamp, key, value, headers }) => ({
    partition,
    timestamp,
    key,
    value,
    headers: byName(headers),
  }))
  await broker.withProducer({}, producer =>
    producer.send({ topic, messages, compression: codecs[codec] })
  )
}

function fields(record, writer) {
  const found = { key: record.key, value: record.value, headers: record.headers }
  // kcat cannot set timestamps.
  return writer === 'kcat' ? found : { ...found, timestamp: record.timestamp }
}

async function readTopic(broker, path, topic) {
  const writer = topic.split('.')[1]
  const written = load(path, writer)
  const messages = await broker.read(topic, written.length, { patient: true })
  for (const partition of [0, 1]) {
    const wanted = written.filter(record => record.partition === partition)
    const found = messages.filter(message => message.partition === partition)
    assert.strictEqual(found.length, wanted.length, `records of partition ${partition}`)
    wanted.forEach((record, at) => {
      const expected = fields({ ...record, headers: byName(record.headers) }, writer)
      // It makes its objects of headers without a prototype or with one; that is no difference.
      assert.deepEqual(fields(found[at], writer), expected, `partition ${partition}, record ${at}`)
    })
  }
}

async function main() {
  const [command, address, ...rest] = process.argv.slice(2)
  const broker = new Broker(address, rest[0])
  if (command === 'produce') {
    const [path, topic, codec] = rest
    await report(`writes with ${codec}`, () => produce(broker, path, topic, codec))
  } else if (command === 'read') {
    const [path, ...topics] = rest
    for (const topic of topics) await report(`reads ${topic}`, () => readTopic(broker, path, topic))
  } else if (command === 'own') {
    for (const [name, test] of own.tests) await report(name, () => test(broker))
  }
  // What a failed test leaves open keeps nobody waiting.
  process.exit(0)
}

main()
