// What rhea does with the listener: peer.js SCENARIO HOST PORT [CA CERTIFICATE KEY]. Exits with 0 when all is as it should be.
'use strict';
const assert = require('assert');
const fs = require('fs');
const rhea = require('rhea');

const [scenario, host, port, ca, certificate, key] = process.argv.slice(2);

function connect(options) {
  const container = rhea.create_container();
  const connection = container.connect(Object.assign(
    { host, port: Number(port), username: 'ann', password: 'nna', reconnect: false }, options));
  connection.on('disconnected', (context) => { if (context.error) fail(context.error); });
  return connection;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

process.on('uncaughtException', fail);
setTimeout(() => fail('nothing happens'), 170000).unref();

const scenarios = {
  // Messages of every kind, both ways.
  basic() {
    const connection = connect();
    const bodies = [];
    for (let i = 0; i < 300; i++) bodies.push('message ' + i);
    bodies.push(17, true, null, { k: [1, 'two'] });
    connection.open_receiver({ source: 'r.basic', credit_window: 10 });
    const sender = connection.open_sender('r.basic');
    let sent = 0, accepted = 0, received = 0;
    connection.on('sendable', () => {
      while (sender.sendable() && sent < bodies.length) {
        sender.send({ body: bodies[sent], message_id: sent, application_properties: { i: sent } });
        sent++;
      }
    });
    const done = () => { if (accepted === bodies.length && received === bodies.length) connection.close(); };
    connection.on('accepted', () => { accepted++; done(); });
    connection.on('message', (context) => {
      assert.deepStrictEqual(context.message.body, bodies[received]);
      assert.strictEqual(context.message.message_id, received);
      assert.strictEqual(context.message.application_properties.i, received);
      received++;
      done();
    });
  },

  // A caller with a dynamic node for its replies, and a responder on the anonymous terminus.
  rpc() {
    const server = connect(), client = connect();
    const replies = server.open_sender({ target: {} });
    server.open_receiver('r.rpc');
    server.on('message', (context) => {
      const request = context.message;
      replies.send({ to: request.reply_to, correlation_id: request.message_id, body: request.body.toUpperCase() });
    });
    const requests = client.open_sender('r.rpc');
    const receiver = client.open_receiver({ source: { dynamic: true } });
    let id = 0;
    const ask = () => requests.send({ reply_to: receiver.source.address, message_id: 'id-' + id, body: 'ask' });
    receiver.on('receiver_open', () => { assert.ok(receiver.source.address); ask(); });
    receiver.on('message', (context) => {
      assert.strictEqual(context.message.body, 'ASK');
      assert.strictEqual(context.message.correlation_id, 'id-' + id);
      if (++id < 50) return ask();
      server.close();
      client.close();
    });
  },

  // Messages of many frames.
  large() {
    const connection = connect({ max_frame_size: 1024 });
    const sizes = [900, 1000, 1024, 1100, 70000, 1000000]; // rhea takes 2048 frames at once
    const sender = connection.open_sender('r.large');
    connection.open_receiver('r.large');
    const content = (size) => Buffer.alloc(size, 'abcdefg');
    sender.on('sender_open', () => sender.send({ body: rhea.message.data_section(content(sizes[0])) }));
    connection.on('message', (context) => {
      assert.ok(context.message.body.content.equals(content(sizes[0])));
      sizes.shift();
      if (sizes.length === 0) return connection.close();
      sender.send({ body: rhea.message.data_section(content(sizes[0])) });
    });
  },

  // Both settle modes, and all outcomes.
  settle() {
    const connection = connect();
    const settled = connection.open_sender({ target: 'r.settle', snd_settle_mode: 1 });
    let received = 0;
    settled.once('sendable', () => { for (let i = 0; i < 50; i++) settled.send({ body: i }); });
    const receiver = connection.open_receiver({ source: 'r.settle', snd_settle_mode: 1 });
    receiver.on('message', (context) => {
      assert.strictEqual(context.message.body, received);
      assert.ok(context.delivery.remote_settled);
      if (++received === 50) outcomes();
    });
    function outcomes() {
      const sender = connection.open_sender({ target: 'r.outcomes', treat_modified_as_released: false });
      const seen = [];
      sender.once('sendable', () => { for (const subject of ['ok', 'reject', 'release', 'modify']) sender.send({ subject, body: 'x' }); });
      for (const outcome of ['accepted', 'rejected', 'released', 'modified']) {
        sender.on(outcome, () => {
          seen.push(outcome);
          if (seen.length < 4) return;
          assert.deepStrictEqual(seen.sort(), ['accepted', 'modified', 'rejected', 'released']);
          second();
        });
      }
    }
    function second() {
      const receiver = connection.open_receiver({ source: 'r.outcomes', rcv_settle_mode: 1, autoaccept: false, credit_window: 1 });
      let deliveries = 0;
      receiver.on('message', (context) => {
        if (++deliveries === 1) return context.delivery.modified({ delivery_failed: true });
        assert.strictEqual(context.message.delivery_count, 1);
        context.delivery.accept();
      });
      receiver.on('settled', () => { if (deliveries === 2) connection.close(); });
    }
  },

  drain() {
    const connection = connect();
    const sender = connection.open_sender('r.drain');
    let accepted = 0;
    sender.once('sendable', () => { for (let i = 0; i < 3; i++) sender.send({ body: i }); });
    sender.on('accepted', () => { if (++accepted === 3) start(); });
    function start() {
      const receiver = connection.open_receiver({ source: 'r.drain', credit_window: 0 });
      let received = 0, drained = 0;
      const again = () => { receiver.drain_credit(); };
      receiver.on('receiver_open', () => { receiver.add_credit(10); again(); });
      receiver.on('message', () => received++);
      receiver.on('receiver_drained', () => {
        if (++drained === 1) { receiver.add_credit(5); return again(); }
        assert.strictEqual(received, 3);
        connection.close();
      });
    }
  },

  refused() {
    const connection = connect();
    const want = { secret: 'amqp:unauthorized-access', missing: 'amqp:not-found' };
    let refused = 0;
    const check = (link, address) => {
      assert.strictEqual(link.error.condition, want[address]);
      if (++refused < 4) return;
      connection.open_sender('r.refused').on('sendable', () => connection.close());
    };
    for (const address of Object.keys(want)) {
      connection.open_sender(address).on('sender_error', (context) => check(context.sender, address));
      connection.open_receiver(address).on('receiver_error', (context) => check(context.receiver, address));
    }
  },

  password() {
    const connection = rhea.create_container().connect({ host, port: Number(port), username: 'ann', password: 'wrong', reconnect: false });
    connection.on('connection_open', () => fail('a wrong password was taken'));
    connection.on('connection_error', () => connection.close());
    connection.on('error', () => {});
    connection.on('disconnected', () => {});
  },

  tls() {
    const files = { ca: [fs.readFileSync(ca)] };
    const plain = connect(Object.assign({ transport: 'tls', servername: 'localhost' }, files));
    plain.open_sender('r.tls').once('sendable', (context) => context.sender.send({ body: 'over TLS', user_id: Buffer.from('ann') }));
    plain.on('accepted', () => { plain.close(); byCertificate(); });
    function byCertificate() {
      const mine = rhea.create_container().connect(Object.assign(
        { host, port: Number(port), transport: 'tls', servername: 'localhost', enable_sasl_external: true, reconnect: false,
          cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, files));
      mine.open_receiver('r.tls').on('message', (context) => {
        assert.strictEqual(context.message.body, 'over TLS');
        mine.close();
      });
    }
  },
};

scenarios[scenario]();
