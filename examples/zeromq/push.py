"""Pushes a message: push.py tcp://127.0.0.1:9000 NAME < PAYLOAD"""

import sys
import zmq

context = zmq.Context()
socket = context.socket(zmq.PUSH)
socket.connect(sys.argv[1])
socket.send(sys.argv[2].encode() + b"\0" + sys.stdin.buffer.read())
socket.close()
context.term()  # waits until it is sent
