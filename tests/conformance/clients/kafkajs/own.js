'use strict'

// Groups, transactions and administration by kafkajs.

const assert = require('node:assert')
const { AssignerProtocol, ConfigResourceTypes } = require('kafkajs')
const { until } = require('./support')

const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => String(from + n))
const valuesOf = messages => messages.map(message => message.value.toString())

async function send(broker, topic, values, options = {}) {
  const messages = values.map(value => ({ value, partition: 0 }))
  await broker.withProducer(options, producer => producer.send({ topic, messages }))
}

// Reads `count` messages in a group, commits after the last and leaves.
async function member(broker, topic, groupId, count) {
  const consumer = broker.kafka.consumer({ groupId, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const values = []
  let committed = false
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      if (values.length === count) return
      values.push(message.value.toString())
      if (values.length < count) return
      const offset = String(Number(message.offset) + 1)
      await consumer.commitOffsets([{ topic, partition, offset }])
      committed = true
    },
  })
  await until(() => committed, `${count} messages and a commit`)
  await consumer.disconnect()
  return values
}

async function resumesAtTheCommit(broker) {
  const topic = broker.name('resume')
  await broker.makeTopic(topic)
  await send(broker, topic, numbers(0, 200))
  const group = broker.name('resume-group')
  assert.deepStrictEqual(await member(broker, topic, group, 100), numbers(0, 100))
  assert.deepStrictEqual(await member(broker, topic, group, 100), numbers(100, 200))
}

async function twoMembersShare(broker) {
  const topic = broker.name('shared')
  const groupId = broker.name('shared-group')
  await broker.makeTopic(topic, 4)
  const members = [broker.kafka.consumer({ groupId, maxWaitTimeInMs: 200 }), broker.kafka.consumer({ groupId, maxWaitTimeInMs: 200 })]
  for (const consumer of members) {
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({ eachMessage: async () => {} })
  }
  await broker.withAdmin(async admin => {
    const held = async () => {
      const { groups } = await admin.describeGroups([groupId])
      return groups[0].members.map(
        ({ memberAssignment }) =>
          AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment[topic]?.length
      )
    }
    await until(async () => String(await held()) === '2,2', 'each of two has two of four')
    await members[0].disconnect()
    await until(async () => String(await held()) === '4', 'the one that is left has four')
    await members[1].disconnect()
  })
}

async function acksOfEachKind(broker) {
  for (const acks of [0, 1, -1]) {
    const topic = broker.name(`acks${acks}`)
    await broker.makeTopic(topic)
    await broker.withProducer({}, async producer => {
      const messages = [{ value: 'one' }, { value: 'two' }]
      await producer.send({ topic, acks, messages })
    })
    assert.deepStrictEqual(valuesOf(await broker.read(topic, 2)), ['one', 'two'])
  }
}

async function idempotentProducer(broker) {
  const topic = broker.name('idempotent')
  await broker.makeTopic(topic)
  await broker.withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
    for (let n = 0; n < 50; n++) {
      const messages = numbers(n * 10, n * 10 + 10).map(value => ({ value }))
      await producer.send({ topic, messages })
    }
  })
  assert.deepStrictEqual(valuesOf(await broker.read(topic, 500)), numbers(0, 500))
}

async function committedAndAborted(broker) {
  const topic = broker.name('transactions')
  await broker.makeTopic(topic)
  const options = { transactionalId: broker.name('id'), idempotent: true, maxInFlightRequests: 1 }
  await broker.withProducer(options, async producer => {
    for (const [from, ends] of [[0, 'commit'], [10, 'abort'], [20, 'commit']]) {
      const transaction = await producer.transaction()
      const messages = numbers(from, from + 10).map(value => ({ value, partition: 0 }))
      await transaction.send({ topic, messages })
      await transaction[ends]()
    }
  })
  const committed = [...numbers(0, 10), ...numbers(20, 30)]
  assert.deepStrictEqual(valuesOf(await broker.read(topic, 20)), committed)
  const all = await broker.read(topic, 30, { uncommitted: true })
  assert.deepStrictEqual(valuesOf(all), numbers(0, 30))
}

async function offsetsGoWithTheTransaction(broker) {
  const topic = broker.name('source')
  const consumerGroupId = broker.name('process-group')
  await broker.makeTopic(topic)
  await send(broker, topic, numbers(0, 10))
  const options = { transactionalId: broker.name('process'), idempotent: true, maxInFlightRequests: 1 }
  const offset = async () =>
    broker.withAdmin(async admin => {
      const [found] = await admin.fetchOffsets({ groupId: consumerGroupId, topics: [topic] })
      return found.partitions[0].offset
    })
  await broker.withProducer(options, async producer => {
    for (const [ends, expected] of [['abort', '-1'], ['commit', '7']]) {
      const transaction = await producer.transaction()
      const topics = [{ topic, partitions: [{ partition: 0, offset: '7' }] }]
      await transaction.sendOffsets({ consumerGroupId, topics })
      await transaction[ends]()
      await until(async () => (await offset()) === expected, `the offset is ${expected}`)
    }
  })
}

async function administration(broker) {
  const topic = broker.name('life')
  await broker.makeTopic(topic, 2)
  await broker.withAdmin(async admin => {
    await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
    const partitions = async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      return topics[0].partitions.length
    }
    await until(async () => (await partitions()) === 5, 'the topic has five partitions')
    await send(broker, topic, numbers(0, 10))
    const [first] = (await admin.fetchTopicOffsets(topic)).filter(place => place.partition === 0)
    assert.deepStrictEqual(
      first,
      { partition: 0, offset: '10', high: '10', low: '0' },
      'offsets of the first partition'
    )
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
    const [after] = (await admin.fetchTopicOffsets(topic)).filter(place => place.partition === 0)
    assert.strictEqual(after.low, '4', 'the low watermark')
    await settings(admin, topic)
    await admin.deleteTopics({ topics: [topic] })
    await until(async () => !(await admin.listTopics()).includes(topic), 'the topic is gone')
    const cluster = await admin.describeCluster()
    assert.strictEqual(cluster.brokers.length, 1)
    assert.strictEqual(cluster.controller, cluster.brokers[0].nodeId)
  })
}

async function settings(admin, topic) {
  const type = ConfigResourceTypes.TOPIC
  const configEntries = [{ name: 'retention.ms', value: '3600000' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] })
  const read = await admin.describeConfigs({ resources: [{ type, name: topic }] })
  const found = read.resources[0].configEntries.find(entry => entry.configName === 'retention.ms')
  assert.strictEqual(found.configValue, '3600000')
}

async function groupsAreListedAndDeleted(broker) {
  const topic = broker.name('grouped')
  const group = broker.name('grouped-group')
  await broker.makeTopic(topic)
  await send(broker, topic, numbers(0, 5))
  await member(broker, topic, group, 5)
  await broker.withAdmin(async admin => {
    const { groups } = await admin.listGroups()
    assert.ok(groups.some(({ groupId }) => groupId === group), 'the group is listed')
    await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '2' }] })
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    assert.strictEqual(found.partitions[0].offset, '2')
    await admin.deleteGroups([group])
    const left = await admin.listGroups()
    assert.ok(!left.groups.some(({ groupId }) => groupId === group), 'the group is gone')
  })
}

const tests = [
  ['acks 0, 1 and all', acksOfEachKind],
  ['a group resumes at its commit', resumesAtTheCommit],
  ['two members share partitions', twoMembersShare],
  ['an idempotent producer', idempotentProducer],
  ['committed and aborted transactions', committedAndAborted],
  ['offsets go with the transaction', offsetsGoWithTheTransaction],
  ['the life of a topic', administration],
  ['groups are listed and deleted', groupsAreListedAndDeleted],
]

module.exports = { tests }
