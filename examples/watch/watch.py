#!/usr/bin/python3
"""Prints events as they come, over AMQP 1.0 with Apache Proton (python3-qpid-proton).

    CLACKS_PASSWORD=... examples/watch/watch.py --xquery 'Event/ObjectChanged[ChangeType = "create"]'

The query is a filter of the receiver's source: the service sends only what it selects.
"""

import argparse
import os
import sys

from proton import Described, symbol
from proton.reactor import Filter
from proton.utils import BlockingConnection

parser = argparse.ArgumentParser(description="Prints events as they come.")
parser.add_argument("--url", default="amqp://127.0.0.1:5672")
parser.add_argument("--user", default=os.environ.get("CLACKS_USER", "admin"))
parser.add_argument("--domain", default="org.clacks")
parser.add_argument("--xquery", default="true()", help="print only what this selects")
parser.add_argument("--from", dest="start", help="begin with this sequence number, or at this time; default: now")
parser.add_argument("--count", type=int, default=0, help="end after this many events")
options = parser.parse_args()

password = os.environ.get("CLACKS_PASSWORD")
if not password:
    with open(os.environ["CLACKS_PASSWORD_FILE"], encoding="utf-8") as file:
        password = file.read().rstrip("\n")

wishes = {"apache.org:xquery-filter:string": options.xquery}
if options.start:
    wishes["clacks:from"] = options.start
filters = Filter({symbol(name): Described(symbol(name), value) for name, value in wishes.items()})

connection = BlockingConnection(options.url, user=options.user, password=password, allowed_mechs="PLAIN")
receiver = connection.create_receiver(options.domain + ".events", options=filters)
print("listening", file=sys.stderr, flush=True)
seen = 0
while not options.count or seen < options.count:
    message = receiver.receive(timeout=None)
    body = message.body if isinstance(message.body, str) else bytes(message.body).decode()
    print(body, flush=True)
    receiver.accept()
    seen += 1
connection.close()
