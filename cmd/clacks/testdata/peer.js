// What rhea does with a whole service: peer.js SCENARIO URL [CA]. Exits with 0 when all is as it should be.
'use strict'
const assert = require('assert')
const fs = require('fs')
const rhea = require('rhea')

const [scenario, address, ca] = process.argv.slice(2)
const { hostname, port } = new URL(address)
const queryFilterCode = 0x0000468C00000005

process.on('unhandledRejection', fail)
setTimeout(() => fail('nothing happens'), 60000).unref()

function fail(error) {
  console.error(error)
  process.exit(1)
}

function connect() {
  const options = { host: hostname, port, username: 'admin', password: process.env.CLACKS_PASSWORD, reconnect: false }
  if (ca) Object.assign(options, { transport: 'tls', ca: [fs.readFileSync(ca)] })
  const connection = rhea.create_container().connect(options)
  connection.on('disconnected', ({ error }) => error && fail(error))
  connection.on('receiver_error', ({ receiver }) => fail(receiver.error))
  connection.on('sender_error', ({ sender }) => fail(sender.error))
  connection.on('rejected', ({ delivery }) => fail(delivery.remote_state.error))
  return connection
}

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve))

async function close(connection) {
  connection.close()
  await once(connection, 'disconnected')
}

// inbox is a receiver whose messages are asked for one by one.
async function inbox(connection, options) {
  const receiver = connection.open_receiver(Object.assign({ autoaccept: false }, options))
  const waiting = [], came = []
  receiver.on('message', (context) => waiting.length ? waiting.shift()(context) : came.push(context))
  await once(receiver, 'receiver_open')
  return { receiver, next: () => came.length ? came.shift() : new Promise((resolve) => waiting.push(resolve)) }
}

async function outbox(connection, target) {
  const sender = connection.open_sender(target)
  await once(sender, 'sendable')
  return sender
}

// ask is the answer to a command.
async function ask(connection, method, params) {
  const answers = await inbox(connection, { source: { dynamic: true } })
  const service = await outbox(connection, 'org.clacks.command.core')
  service.send({
    message_id: rhea.generate_uuid(), user_id: Buffer.from('admin'), reply_to: answers.receiver.source.address, ttl: 60000,
    body: JSON.stringify({ id: 1, method, params })
  })
  const { message, delivery } = await answers.next()
  delivery.accept()
  answers.receiver.close()
  service.close()
  return JSON.parse(message.body)
}

async function must(connection, method, params) {
  const { result, error } = await ask(connection, method, params)
  assert.strictEqual(error, null, JSON.stringify(error))
  return result
}

function report(sender, name) {
  sender.send({
    user_id: Buffer.from('admin'),
    body: '<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=' + name + '</DN><ChangeType>modify</ChangeType>' +
      '<ModificationTime>20260101000000Z</ModificationTime></BackendChange></Event>'
  })
}

async function hear(events, name) {
  const context = await events.next()
  const document = context.message.body.content.toString()
  assert.ok(document.includes('<DN>cn=' + name + '</DN>'), name + ' is not in ' + document)
  return context
}

const scenarios = {
  async call() {
    const connection = connect()
    assert.strictEqual(await must(connection, 'getBase', {}), 'dc=example,dc=net')
    const { result, error } = await ask(connection, 'getObject', { id: 'cn=nobody,dc=example,dc=net' })
    assert.deepStrictEqual([result, error.code, error.data.kind], [null, -32003, 'not-found'])
    await close(connection)
  },

  // Offers the command rheaUpper, and answers two calls.
  async command() {
    const connection = connect()
    const node = await must(connection, 'nodeAnnounce', {
      node: 'rhea', capability: 'peers', commands: [{ name: 'rheaUpper', signature: ['text'], documentation: 'Makes a text upper case.' }]
    })
    const calls = await inbox(connection, { source: node.address, credit_window: 1 })
    const replies = await outbox(connection, { target: {} })
    console.log('ready')
    for (let i = 0; i < 2; i++) {
      const { message, delivery } = await calls.next()
      const asked = JSON.parse(message.body.content ? message.body.content.toString() : message.body)
      const text = asked.params.text.toUpperCase() + ' for ' + message.application_properties['clacks-user']
      replies.send({
        to: message.reply_to, correlation_id: message.correlation_id || message.message_id, user_id: Buffer.from('admin'),
        body: JSON.stringify({ result: text, id: asked.id, error: null })
      })
      delivery.accept()
    }
    await must(connection, 'nodeLeave', { node: 'rhea', run: node.run })
    await close(connection)
  },

  // The filter by its number; events come by the service's own port.
  async filtered() {
    const connection = connect()
    const query = 'Event/BackendChange[DN = ("cn=rhea-2", "cn=rhea-4")]'
    const events = await inbox(connection, {
      source: { address: 'org.clacks.events', filter: { query: rhea.types.wrap_described(query, queryFilterCode) } }
    })
    assert.deepStrictEqual(Object.keys(events.receiver.source.filter), ['query'])
    const sender = await outbox(connection, 'org.clacks.events')
    for (let i = 1; i <= 4; i++) report(sender, 'rhea-' + i)
    for (const name of ['rhea-2', 'rhea-4']) (await hear(events, name)).delivery.accept()
    await close(connection)
  },

  // A durable subscription over connections that come and go, and once more from the start.
  async replay() {
    let connection = connect()
    const wanted = { name: 'rhea', durable: true, xquery: 'Event/BackendChange[starts-with(DN, "cn=rhea-replay-")]' }
    const made = await must(connection, 'subscribe', wanted)
    const sender = await outbox(connection, 'org.clacks.events')
    const names = [1, 2, 3, 4].map((i) => 'rhea-replay-' + i)
    names.forEach((name) => report(sender, name))
    let events = await inbox(connection, { source: made.address })
    const first = await hear(events, names[0])
    first.delivery.accept()
    await hear(events, names[1]) // and leaves without a word
    await close(connection)
    connection = connect()
    events = await inbox(connection, { source: made.address })
    for (const name of names.slice(1)) (await hear(events, name)).delivery.accept()
    await close(connection)
    connection = connect()
    const again = await must(connection, 'subscribe', { ...wanted, replace: true, from: first.message.application_properties.sequence })
    events = await inbox(connection, { source: again.address })
    for (const name of names) (await hear(events, name)).delivery.accept()
    events.receiver.close()
    await once(events.receiver, 'receiver_close')
    assert.strictEqual(await must(connection, 'unsubscribe', { id: again.id }), true)
    await close(connection)
  }
}

scenarios[scenario]()
