"""A program with libzmq: pushes messages, receives those that it subscribed to. Arguments: the two endpoints."""

import sys
import zmq

EVENT = (b'<Event xmlns="http://www.gonicus.de/Events"><BackendChange><ChangeType>add</ChangeType>'
         b'<ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event>')

context = zmq.Context()
push, weather, events = (context.socket(kind) for kind in (zmq.PUSH, zmq.SUB, zmq.SUB))
for socket in (push, weather, events):
    socket.setsockopt(zmq.HEARTBEAT_IVL, 50)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
    socket.setsockopt(zmq.RCVTIMEO, 15000)
    socket.setsockopt(zmq.LINGER, 0)
push.connect(sys.argv[1])
for socket, topic in ((weather, b"Weather\0"), (events, b"BackendChange\0")):
    socket.setsockopt(zmq.SUBSCRIBE, topic)
    socket.setsockopt(zmq.SUBSCRIBE, b"Ready\0")
    socket.connect(sys.argv[2])

# A subscription takes a moment to arrive.
for socket in (weather, events):
    while not socket.poll(20):
        push.send(b"Ready\0")
weather.setsockopt(zmq.UNSUBSCRIBE, b"Ready\0")


def receive(socket):
    while True:
        name, payload = socket.recv().split(b"\0", 1)
        if name != b"Ready":
            return name, payload


for n in range(1000):
    push.send(b"Weather\0%d" % n)
for n in range(1000):
    assert receive(weather) == (b"Weather", b"%d" % n), n

large = b"x" * (1 << 20)
push.send(b"Weather\0" + large)
assert receive(weather) == (b"Weather", large)

push.send(b"BackendChange\0" + EVENT)
name, document = receive(events)
assert name == b"BackendChange" and b"<Sequence>1</Sequence>" in document and b"<Actor>admin</Actor>" in document, document

# Heartbeats, while nothing else is to be said.
assert not weather.poll(300)
push.send(b"Weather\0still there")
assert receive(weather) == (b"Weather", b"still there")
