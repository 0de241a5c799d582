"""What Apache Proton does with the listener: peer.py SCENARIO URL [CA CERTIFICATE KEY]. Exits with 0 when all is as it should be."""

import sys

from proton import ConnectionException, Delivery, Described, Link, Message, SSLDomain, symbol, ulong
from proton.reactor import AtMostOnce, Filter, LinkOption
from proton.utils import BlockingConnection, LinkDetached, SendException

TIMEOUT = 120


def connect(url, user="ann", password="nna", **options):
    return BlockingConnection(url, timeout=TIMEOUT, user=user, password=password, allowed_mechs="PLAIN",
                              allow_insecure_mechs=True, **options)


def check(got, want):
    if got != want:
        raise SystemExit("got %r, want %r" % (got, want))


def basic(url):
    connection = connect(url)
    sender = connection.create_sender("p.basic")
    receiver = connection.create_receiver("p.basic", credit=10)
    for i in range(300):
        sender.send(Message(body="message %d" % i, id=ulong(i), properties={"i": i, "f": 0.5, "s": symbol("x")}))
    for i in range(300):
        message = receiver.receive()
        check(message.body, "message %d" % i)
        check(message.id, i)
        check(message.properties["i"], i)
        receiver.accept()
    for body in (None, True, 17, 1.5, {"k": [1, "two"]}, [1, 2, 3], b"bytes"):
        sender.send(Message(body=body))
        check(receiver.receive().body, body)
        receiver.accept()
    connection.close()


def rpc(url):
    """A responder and a caller, which has a dynamic node for its replies."""
    server, client = connect(url), connect(url)
    requests = server.create_receiver("p.rpc", credit=10)
    replies = server.create_sender(None)
    call = client.create_receiver(None, dynamic=True, credit=10)
    address = call.link.remote_source.address
    if not address:
        raise SystemExit("the dynamic node has no address")
    sender = client.create_sender("p.rpc")
    for i in range(50):
        sender.send(Message(body="ask", id="id-%d" % i, reply_to=address))
        request = requests.receive()
        replies.send(Message(body=request.body.upper(), address=request.reply_to, correlation_id=request.id))
        requests.accept()
        reply = call.receive()
        check((reply.body, reply.correlation_id), ("ASK", "id-%d" % i))
        call.accept()
    server.close()
    client.close()


def large(url):
    connection = connect(url, max_frame_size=1024)
    sender = connection.create_sender("p.large")
    receiver = connection.create_receiver("p.large", credit=1)
    for size in (900, 1000, 1024, 1100, 70000, 2000000):
        body = bytes(i % 251 for i in range(size))
        sender.send(Message(body=body))
        check(receiver.receive().body == body, True)
        receiver.accept()
    connection.close()


class Unsettled(LinkOption):
    def apply(self, link):
        link.snd_settle_mode = Link.SND_UNSETTLED
        link.rcv_settle_mode = Link.RCV_SECOND

    def test(self, link):
        return True


def settle(url):
    connection = connect(url)
    sender = connection.create_sender("p.settle", options=AtMostOnce())
    check(sender.link.remote_snd_settle_mode, Link.SND_SETTLED)
    for i in range(100):
        sender.send(Message(body=i))
    receiver = connection.create_receiver("p.settle", credit=20, options=AtMostOnce())
    check(receiver.link.remote_snd_settle_mode, Link.SND_SETTLED)
    for i in range(100):
        check(receiver.receive().body, i)
    receiver.close()
    sender.close()
    second = connection.create_receiver("p.settle", credit=20, options=Unsettled())
    check(second.link.remote_snd_settle_mode, Link.SND_UNSETTLED)
    check(second.link.remote_rcv_settle_mode, Link.RCV_SECOND)
    again = connection.create_sender("p.settle")
    for outcome in (Delivery.RELEASED, Delivery.MODIFIED, Delivery.ACCEPTED):
        if outcome == Delivery.RELEASED:
            again.send(Message(body="again"))
        check(second.receive().body, "again")
        delivery = second.fetcher.unsettled.popleft()
        delivery.update(outcome)
        connection.wait(lambda: delivery.settled or delivery.remote_state == outcome)
        delivery.settle()
    for subject in ("reject", "release", "modify"):
        try:
            again.send(Message(subject=subject), error_states=[Delivery.REJECTED, Delivery.RELEASED, Delivery.MODIFIED])
        except SendException as e:
            check(e.state, {"reject": Delivery.REJECTED, "release": Delivery.RELEASED, "modify": Delivery.MODIFIED}[subject])
        else:
            raise SystemExit("%s was accepted" % subject)
    connection.close()


def drain(url):
    connection = connect(url)
    sender = connection.create_sender("p.drain")
    for i in range(3):
        sender.send(Message(body=i))
    receiver = connection.create_receiver("p.drain", credit=0)
    for want in (3, 0):
        receiver.link.drain(10)
        connection.wait(lambda: not receiver.link.draining(), msg="draining")
        connection.wait(lambda: len(receiver.fetcher.incoming) >= want, msg="what was drained")
        got = 0
        while receiver.fetcher.has_message:
            check(receiver.fetcher.pop().body, got)
            receiver.accept()
            got += 1
        check(got, want)
    connection.close()


def refused(url):
    connection = connect(url)
    for address, condition in (("secret", "amqp:unauthorized-access"), ("missing", "amqp:not-found")):
        for attach in (connection.create_sender, connection.create_receiver):
            try:
                attach(address)
            except LinkDetached as e:
                check(e.condition, condition)
            else:
                raise SystemExit("%s was attached" % address)
    connection.create_sender("p.refused").send(Message(body="the session goes on"))
    connection.close()


def filters(url):
    connection = connect(url)
    applied = "apache.org:xquery-filter:string"
    receiver = connection.create_receiver("p.filters", credit=1, options=[
        Filter({symbol("query"): Described(symbol(applied), "true()"),
                symbol("other"): Described(symbol("x:y"), "z")})])
    remote = receiver.link.remote_source.filter
    remote.rewind()
    remote.next()
    check(list(remote.get_object().keys()), ["query"])
    connection.close()


def password(url):
    try:
        connect(url, password="wrong")
    except ConnectionException:
        return
    raise SystemExit("a wrong password was taken")


def tls(url, ca, certificate, key):
    def domain(mine):
        d = SSLDomain(SSLDomain.MODE_CLIENT)
        d.set_trusted_ca_db(ca)
        d.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        if mine:
            d.set_credentials(certificate, key, None)
        return d
    connection = connect(url, ssl_domain=domain(False))
    connection.create_sender("p.tls").send(Message(body="over TLS", user_id=b"ann"))
    connection.close()
    connection = BlockingConnection(url, timeout=TIMEOUT, ssl_domain=domain(True), allowed_mechs="EXTERNAL")
    receiver = connection.create_receiver("p.tls", credit=1)
    check(receiver.receive().body, "over TLS")
    receiver.accept()
    connection.create_sender("p.tls").send(Message(body="by certificate", user_id=b"carol"))
    connection.close()


globals()[sys.argv[1]](*sys.argv[2:])
