"""What Apache Proton does with a whole service: peer.py SCENARIO URL [CA]. Exits with 0 when all is as it should be."""

import json
import os
import sys
import uuid

from proton import Described, Message, SSLDomain, symbol
from proton.reactor import Filter
from proton.utils import BlockingConnection, SyncRequestResponse

scenario, url = sys.argv[1:3]
QUERY_FILTER = "apache.org:xquery-filter:string"


def connect():
    domain = None
    if len(sys.argv) > 3:
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(sys.argv[3])
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    connection = BlockingConnection(url, timeout=60, user="admin", password=os.environ["CLACKS_PASSWORD"], allowed_mechs="PLAIN",
                                    ssl_domain=domain)
    connection.service = SyncRequestResponse(connection, "org.clacks.command.core")
    return connection


def check(got, want):
    if got != want:
        raise SystemExit("got %r, want %r" % (got, want))


def ask(connection, method, **params):
    """The result of a command and its error."""
    answer = json.loads(connection.service.call(Message(id=uuid.uuid4(), user_id=b"admin", ttl=60, body=json.dumps(
        {"id": 1, "method": method, "params": params}))).body)
    return answer["result"], answer["error"]


def must(connection, method, **params):
    result, error = ask(connection, method, **params)
    check(error, None)
    return result


def report(sender, name):
    sender.send(Message(body='<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=%s</DN><ChangeType>modify</ChangeType>'
                        '<ModificationTime>20260101000000Z</ModificationTime></BackendChange></Event>' % name, user_id=b"admin"))


def hear(receiver, name):
    message = receiver.receive()
    if "<DN>cn=%s</DN>" % name not in bytes(message.body).decode():
        raise SystemExit("got %r, want the event of %s" % (message.body, name))
    return message.properties["sequence"]


def call():
    connection = connect()
    check(must(connection, "getBase"), "dc=example,dc=net")
    result, error = ask(connection, "getObject", id="cn=nobody,dc=example,dc=net")
    check((result, error["code"], error["data"]["kind"]), (None, -32003, "not-found"))
    connection.close()


def command():
    """Offers the command protonUpper, and answers two calls."""
    connection = connect()
    node = must(connection, "nodeAnnounce", node="proton", capability="peers", commands=[
        {"name": "protonUpper", "signature": ["text"], "documentation": "Makes a text upper case."}])
    calls, replies = connection.create_receiver(node["address"], credit=1), connection.create_sender(None)
    print("ready", flush=True)
    for _ in range(2):
        message = calls.receive()
        asked = json.loads(message.body if isinstance(message.body, str) else bytes(message.body).decode())
        text = asked["params"]["text"].upper() + " for " + message.properties["clacks-user"]
        replies.send(Message(address=message.reply_to, correlation_id=message.correlation_id or message.id, user_id=b"admin",
                             body=json.dumps({"result": text, "id": asked["id"], "error": None})))
        calls.accept()
    must(connection, "nodeLeave", node="proton", run=node["run"])
    connection.close()


def filtered():
    """The filter by its symbol; events come by the service's own port."""
    connection = connect()
    query = 'Event/BackendChange[DN = ("cn=proton-2", "cn=proton-4")]'
    receiver = connection.create_receiver("org.clacks.events", credit=10, options=Filter(
        {symbol("query"): Described(symbol(QUERY_FILTER), query)}))
    applied = receiver.link.remote_source.filter
    applied.rewind()
    applied.next()
    check(list(applied.get_object().keys()), ["query"])
    sender = connection.create_sender("org.clacks.events")
    for i in range(1, 5):
        report(sender, "proton-%d" % i)
    for name in ("proton-2", "proton-4"):
        hear(receiver, name)
        receiver.accept()
    connection.close()


def replay():
    """A durable subscription over connections that come and go, and once more from the start."""
    connection = connect()
    wanted = dict(name="proton", durable=True, xquery='Event/BackendChange[starts-with(DN, "cn=proton-replay-")]')
    made = must(connection, "subscribe", **wanted)
    sender = connection.create_sender("org.clacks.events")
    names = ["proton-replay-%d" % i for i in range(1, 5)]
    for name in names:
        report(sender, name)
    receiver = connection.create_receiver(made["address"], credit=10)
    first = hear(receiver, names[0])
    receiver.accept()
    hear(receiver, names[1])  # and leaves without a word
    connection.close()
    connection = connect()
    receiver = connection.create_receiver(made["address"], credit=10)
    for name in names[1:]:
        hear(receiver, name)
        receiver.accept()
    connection.close()
    connection = connect()
    again = must(connection, "subscribe", replace=True, **{**wanted, "from": first})
    receiver = connection.create_receiver(again["address"], credit=10)
    for name in names:
        hear(receiver, name)
        receiver.accept()
    receiver.close()
    check(must(connection, "unsubscribe", id=again["id"]), True)
    connection.close()


globals()[scenario]()
