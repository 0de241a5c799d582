#!/usr/bin/python3
"""Calls a command of a Clacks service over AMQP 1.0, with Apache Proton (python3-qpid-proton).

    CLACKS_PASSWORD=... examples/call/call.py amqp://127.0.0.1:5672 admin searchObjects '{"type": "User"}'
"""

import json
import os
import sys
import uuid

from proton import Message
from proton.utils import BlockingConnection, SyncRequestResponse

url, user, method, params = sys.argv[1:]
connection = BlockingConnection(url, user=user, password=os.environ["CLACKS_PASSWORD"], allowed_mechs="PLAIN")
service = SyncRequestResponse(connection, "org.clacks.command.core")
answer = json.loads(service.call(Message(
    id=uuid.uuid4(),          # the same id again means the same request: it does not run twice
    user_id=user.encode(),    # who logged in
    ttl=30,                   # seconds: an older request is not run
    body=json.dumps({"id": 1, "method": method, "params": json.loads(params)}))).body)
connection.close()
if answer["error"]:
    sys.exit(answer["error"]["message"])
print(json.dumps(answer["result"]))
