"""Prints the events of one type as they come: watch.py tcp://127.0.0.1:9001 ObjectChanged [COUNT]"""

import sys
import zmq

endpoint, name = sys.argv[1:3]
left = int(sys.argv[3]) if len(sys.argv) > 3 else -1

socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.SUBSCRIBE, name.encode() + b"\0")
socket.connect(endpoint)
while left != 0:
    _, payload = socket.recv().split(b"\0", 1)
    print(payload.decode(), flush=True)
    left -= 1
