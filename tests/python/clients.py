"""Two third-party WebSocket libraries behind one small interface, so that every test runs with both."""

import threading

import websocket
import websockets.exceptions
import websockets.sync.client

PATIENCE = 10  # seconds: the longest wait for something that must come


class Closed(Exception):
    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class WebsocketClient:
    """The package websocket-client, which the load scripts of documents 000, 001 and 002 use."""

    name = "websocket-client"

    def __init__(self, url, headers=None, subprotocols=None):
        self.socket = websocket.create_connection(
            url, header=headers or {}, subprotocols=subprotocols, timeout=PATIENCE
        )

    def send_text(self, payload):
        """Also accepts bytes, and sends them in a text frame, as `ws.send(data)` of the load scripts does."""
        self.socket.send(payload)

    def send_binary(self, payload):
        self.socket.send_binary(payload)

    def receive(self):
        opcode, payload = self.socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(int.from_bytes(payload[:2], "big"))
        return payload.decode() if opcode == websocket.ABNF.OPCODE_TEXT else payload

    def close(self):
        # close() alone leaves a socket open on which the server's close has been read.
        self.socket.close()
        self.socket.shutdown()


class Websockets:
    """The package websockets, in its blocking form."""

    name = "websockets"

    def __init__(self, url, headers=None, subprotocols=None):
        self.socket = websockets.sync.client.connect(
            url, additional_headers=headers, subprotocols=subprotocols, open_timeout=PATIENCE, compression=None
        )

    def send_text(self, payload):
        self.socket.send(payload, text=True)

    def send_binary(self, payload):
        self.socket.send(payload, text=False)

    def receive(self):
        try:
            return self.socket.recv(timeout=PATIENCE)
        except websockets.exceptions.ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd else 1006) from closed

    def close(self):
        self.socket.close()


LIBRARIES = [WebsocketClient, Websockets]


def until(client, wanted):
    """Reads until a message matches, and returns it."""
    while True:
        message = client.receive()
        if wanted(message):
            return message


def in_threads(work, count):
    """Runs work(0) … work(count - 1) in parallel; raises the exception of any of them."""
    faults = []

    def guarded(number):
        try:
            work(number)
        except BaseException as fault:  # every one is raised again below
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
