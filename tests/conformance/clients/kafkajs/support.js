'use strict'

const { Kafka, logLevel } = require('kafkajs')

// How long anything may take that a broker does within a second when it works.
const PATIENCE_MS = 30000

// The broker under test and the prefix of all names that a run makes up.
class Broker {
  constructor(address, prefix) {
    this.prefix = prefix
    this.kafka = new Kafka({
      clientId: 'kafkajs-tests',
      brokers: [address],
      logLevel: logLevel.WARN,
      retry: { initialRetryTime: 50, retries: 5 },
    })
    this.readers = 0
  }

  name(suffix) {
    return `${this.prefix}.${suffix}`
  }

  async withAdmin(use) {
    const admin = this.kafka.admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  }

  async withProducer(options, use) {
    const producer = this.kafka.producer(options)
    await producer.connect()
    try {
      return await use(producer)
    } finally {
      await producer.disconnect()
    }
  }

  makeTopic(topic, numPartitions = 1) {
    return this.withAdmin(admin =>
      admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1 }] })
    )
  }

  // The first `count` messages of a topic in their order; all that come within a second after them.
  async read(topic, count, { group, uncommitted = false } = {}) {
    const groupId = group ?? `${topic}.reader-${process.pid}-${this.readers++}`
    const consumer = this.kafka.consumer({ groupId, readUncommitted: uncommitted, maxWaitTimeInMs: 200 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const messages = []
    try {
      await consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          messages.push({ ...message, partition })
        },
      })
      await until(() => messages.length >= count, `${count} messages of ${topic}`)
      // Whether there are more than there should be.
      const before = messages.length
      await new Promise(resolve => setTimeout(resolve, 300))
      if (messages.length !== before) throw new Error(`${messages.length} instead of ${count}`)
    } finally {
      await consumer.disconnect()
    }
    return messages
  }
}

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

module.exports = { Broker, until }
