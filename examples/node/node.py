#!/usr/bin/python3
"""A program that offers commands of its own to all clients of a Clacks domain, with Apache Proton (python3-qpid-proton).

    CLACKS_PASSWORD_FILE=data/admin-password examples/node/node.py --url amqp://127.0.0.1:5672
    clacks call reverseText text=hello

It announces itself by the command nodeAnnounce, says every few seconds that it lives, and answers what comes to its queue:
{"id", "method", "params"} gets {"result", "id", "error"}. Who calls stands in the application-property clacks-user: only
agents may write into the queue of a node.
"""

import argparse
import json
import os
import signal
import sys
import uuid

from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector


def reverse_text(user, text):
    return text[::-1]


def greet(user, name="you"):
    return "Hello %s, says %s" % (name, user)


COMMANDS = {
    "reverseText": (reverse_text, ["text"], "Turns a text round."),
    "greet": (greet, ["name"], "Greets somebody, and tells for whom."),
}


class Node(MessagingHandler):
    def __init__(self, options, password):
        super().__init__(auto_accept=False)
        self.options, self.password = options, password
        self.run, self.every, self.asked = None, 10, {}
        self.commands = self.replies = self.timer = None
        self.leaving = False
        self.injector = EventInjector()  # brings signals into the event loop

    # The connection. Proton makes it anew after a loss, with all links; the answers then come to another dynamic node.

    def on_start(self, event):
        self.container = event.container
        self.container.selectable(self.injector)
        self.connection = self.container.connect(
            self.options.url, user=self.options.user, password=self.password, allowed_mechs="PLAIN", heartbeat=20)
        self.sender = self.container.create_sender(self.connection, None)  # each message says where it goes
        self.replies = self.container.create_receiver(self.connection, None, dynamic=True)

    def on_link_opened(self, event):
        if event.receiver and event.receiver == self.replies:
            self.announce()
        elif event.receiver and event.receiver == self.commands:
            print("ready: %s" % self.commands.remote_source.address, flush=True)

    def on_link_error(self, event):
        print("%s: %s" % (event.link.remote_condition.name, event.link.remote_condition.description), file=sys.stderr)
        event.connection.close()

    def on_transport_error(self, event):
        print(event.transport.condition, file=sys.stderr)

    # What this program asks of Clacks.

    def ask(self, then, method, **params):
        message = Message(
            id=str(uuid.uuid4()), address=self.options.domain + ".command.core", reply_to=self.replies.remote_source.address,
            user_id=self.options.user.encode(), body=json.dumps({"id": 1, "method": method, "params": params}))
        self.asked[message.id] = then
        self.sender.send(message)

    def announce(self):
        self.ask(self.announced, "nodeAnnounce", node=self.options.node, capability=self.options.capability, commands=[
            {"name": name, "signature": signature, "documentation": documentation}
            for name, (_, signature, documentation) in COMMANDS.items()])

    def announced(self, result, error):
        if error:
            print("not announced: %s" % error["message"], file=sys.stderr)
            self.connection.close()
            return
        self.run, self.every = result["run"], result["every"]
        if self.commands is None:
            self.commands = self.container.create_receiver(self.connection, result["address"])
            self.timer = self.container.schedule(self.every, self)

    def on_timer_task(self, event):
        if self.leaving:
            return
        if self.replies.remote_source.address and self.run:
            self.ask(self.reported, "nodeStatus", node=self.options.node, run=self.run, load=0, latency=0, workers=1)
        self.timer = self.container.schedule(self.every, self)

    def reported(self, result, error):
        if error and error["data"]["kind"] == "not-found":
            self.announce()  # the agents have forgotten this node

    # What comes.

    def on_message(self, event):
        message = event.message
        if event.receiver == self.replies:
            self.accept(event.delivery)
            then, answer = self.asked.pop(message.correlation_id, None), json.loads(text_of(message))
            if then:
                then(answer["result"], answer["error"])
            return
        reply = Message(address=message.reply_to, correlation_id=message.correlation_id or message.id,
                        user_id=self.options.user.encode(), body=json.dumps(self.answer(message)))
        self.sender.send(reply)  # the answer first, then the outcome: who dies in between is asked again
        self.accept(event.delivery)

    def answer(self, message):
        call = {}
        try:
            call = json.loads(text_of(message))
            function, signature, _ = COMMANDS[call["method"]]
            params = call.get("params") or {}
            if isinstance(params, list):
                params = dict(zip(signature, params))
            user = (message.properties or {}).get("clacks-user") or bytes(message.user_id or b"").decode()
            return {"result": function(user, **params), "id": call.get("id"), "error": None}
        except KeyError:
            return failure(call, -32601, "not-found", "no such command here")
        except (TypeError, ValueError) as error:
            return failure(call, -32602, "invalid", str(error))

    # The end.

    def stop(self, *_):
        self.injector.trigger(ApplicationEvent("leave"))

    def on_leave(self, event):
        self.leaving = True
        if self.timer:
            self.timer.cancel()
        if not self.run:
            self.connection.close()
            return
        self.ask(lambda result, error: self.connection.close(), "nodeLeave", node=self.options.node, run=self.run)

    def on_connection_closed(self, event):
        self.injector.close()

    def on_connection_closing(self, event):
        self.injector.close()


def failure(call, code, kind, reason):
    return {"result": None, "id": call.get("id"), "error": {"code": code, "message": reason, "data": {"kind": kind, "reason": reason}}}


def text_of(message):
    """The body as text, whether it came as a string or as binary data."""
    body = message.body
    return body if isinstance(body, str) else bytes(body).decode()


def main():
    parser = argparse.ArgumentParser(description="Offers the commands reverseText and greet to a Clacks domain.")
    parser.add_argument("--url", default="amqp://127.0.0.1:5672")
    parser.add_argument("--user", default=os.environ.get("CLACKS_USER", "admin"))
    parser.add_argument("--domain", default="org.clacks")
    parser.add_argument("--node", default="python-example")
    parser.add_argument("--capability", default="example")
    options = parser.parse_args()
    password = os.environ.get("CLACKS_PASSWORD")
    if not password:
        with open(os.environ["CLACKS_PASSWORD_FILE"], encoding="utf-8") as file:
            password = file.read().rstrip("\n")
    node = Node(options, password)
    signal.signal(signal.SIGTERM, node.stop)
    signal.signal(signal.SIGINT, node.stop)
    Container(node).run()


if __name__ == "__main__":
    main()
