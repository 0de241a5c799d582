// Calls a command of a Clacks service over AMQP 1.0, with rhea (npm install rhea).
//
//     CLACKS_PASSWORD=... node examples/call/call.js amqp://127.0.0.1:5672 admin searchObjects '{"type": "User"}'
const rhea = require('rhea')

const [url, user, method, params] = process.argv.slice(2)
const { protocol, hostname: host, port } = new URL(url)
const transport = protocol === 'amqps:' ? 'tls' : 'tcp'
const connection = rhea.connect({ host, port, transport, username: user, password: process.env.CLACKS_PASSWORD, reconnect: false })
const answers = connection.open_receiver({ source: { dynamic: true } })
const service = connection.open_sender('org.clacks.command.core')

let ready = 0 // the service can be asked when both links are there
function ask() {
  if (++ready < 2) return
  service.send({
    message_id: rhea.generate_uuid(), // the same id again means the same request: it does not run twice
    user_id: Buffer.from(user), // who logged in
    reply_to: answers.source.address,
    ttl: 30000, // milliseconds: an older request is not run
    body: JSON.stringify({ id: 1, method, params: JSON.parse(params) })
  })
}
answers.on('receiver_open', ask)
service.on('sendable', ask)

answers.on('message', ({ message }) => {
  const { result, error } = JSON.parse(message.body)
  if (error) {
    console.error(error.message)
    process.exitCode = 1
  } else {
    console.log(JSON.stringify(result))
  }
  connection.close()
})
connection.on('disconnected', ({ error }) => {
  if (error) {
    console.error(error.message)
    process.exitCode = 1
  }
})
