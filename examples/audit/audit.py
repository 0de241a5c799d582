#!/usr/bin/python3
"""Keeps a record of every change, over AMQP 1.0 with Apache Proton (python3-qpid-proton).

    CLACKS_PASSWORD=... examples/audit/audit.py amqp://127.0.0.1:5672 admin ADDRESS audit.log

ADDRESS is what "subscribe" answered for a durable subscription. Each line of the record is a sequence number and the event.
Started again after whatever happened, it goes on behind the last line.
"""

import os
import sys

from proton.utils import BlockingConnection

url, user, address, path = sys.argv[1:]

last = 0
if os.path.exists(path):
    with open(path, encoding="utf-8") as record:
        for line in record:
            if line.endswith("\n"):
                last = int(line.split(" ", 1)[0])

connection = BlockingConnection(url, user=user, password=os.environ["CLACKS_PASSWORD"], allowed_mechs="PLAIN", timeout=30)
receiver = connection.create_receiver(address, credit=50)
with open(path, "a+b") as record:
    record.seek(0, os.SEEK_END)
    if record.tell():
        record.seek(-1, os.SEEK_END)
        if record.read(1) != b"\n":
            record.write(b"\n")  # a line that a crash cut off; its event comes again
    print("listening behind", last, flush=True)
    while True:
        message = receiver.receive(timeout=None)
        sequence = message.properties["sequence"]
        if sequence > last:  # what was written and not yet accepted comes twice
            record.write(b"%d %s\n" % (sequence, bytes(message.body).replace(b"\n", b" ")))
            record.flush()
            os.fsync(record.fileno())
            last = sequence
        receiver.accept()  # only now: what was not accepted comes again
