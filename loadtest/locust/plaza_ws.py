"""What the locust files share: the protobuf of tests/python, and a user that counts a talk when its own echo is back.

The scripts of the old systems timed their own ``send()``, which says nothing about the server. Here a request begins
when the talk is sent and ends when the sender itself receives it; one that is not back in time is a failure.
"""

import os
import pathlib
import random
import sys
import time

import gevent
import gevent.event
import websocket
from locust import User, constant_pacing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/python"))
from wire import encode, fields  # noqa: E402

ECHO_SECONDS = 10
PACE_SECONDS = float(os.environ.get("PLAZA_PACE_MS", "1000")) / 1000


def strings(message):
    """The last string of each field."""
    return {number: value.decode("utf-8", "replace") for number, value in fields(message)}


class ChatUser(User):
    """Connects, talks once per pace, and reads all the time. A dialect says how; see the files beside this one."""

    abstract = True
    # 1: once a second, as the old scripts; 0: the next as soon as the last one is back.
    wait_time = constant_pacing(PACE_SECONDS)
    count = 0
    problem = None

    def address(self):
        """Path with query, and headers."""
        raise NotImplementedError

    def message(self):
        """A talk, and whether it goes into a text frame."""
        raise NotImplementedError

    def is_own(self, payload):
        """Whether this is one of this user's own talks coming back."""
        raise NotImplementedError

    def on_start(self):
        ChatUser.count += 1
        self.number = ChatUser.count
        self.name = f"tst_user_{self.number}"
        self.waiting = None
        path, headers = self.address()
        url = self.host.rstrip("/").replace("http://", "ws://", 1) + path
        with self.environment.events.request.measure("WS", "enter"):
            self.socket = websocket.create_connection(url, timeout=ECHO_SECONDS, header=headers)
            self.socket.settimeout(None)
        self.reader = gevent.spawn(self.read)
        # Users that were started together would otherwise all talk in the same moment of every second.
        gevent.sleep(random.random() * PACE_SECONDS)

    def on_stop(self):
        if hasattr(self, "reader"):
            self.reader.kill(block=False)
        if hasattr(self, "socket"):
            self.socket.shutdown()

    def read(self):
        try:
            while True:
                opcode, payload = self.socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise ConnectionError(f"closed by the server: {payload!r}")
                if self.waiting is not None and self.is_own(payload):
                    self.waiting.set(time.perf_counter())
        except Exception as problem:  # whatever ends the reading fails the talk that waits for it
            self.problem = problem
            if self.waiting is not None:
                self.waiting.set_exception(problem)

    def talk(self):
        """Says something and waits for it to come back."""
        payload, as_text = self.message()
        opcode = websocket.ABNF.OPCODE_TEXT if as_text else websocket.ABNF.OPCODE_BINARY
        if self.problem is not None:
            self.report(0, ConnectionError(f"not connected any more: {self.problem}"))
            return
        self.waiting = gevent.event.AsyncResult()
        started = time.perf_counter()
        try:
            self.socket.send(payload, opcode)
            # The time is when the reader had it, not when this greenlet came to run.
            ended = self.waiting.get(timeout=ECHO_SECONDS)
            self.report(ended - started, None)
        except gevent.Timeout:
            self.report(ECHO_SECONDS, TimeoutError("the own talk did not come back"))
        except Exception as problem:
            self.report(time.perf_counter() - started, problem)
        finally:
            self.waiting = None

    def report(self, seconds, problem):
        self.environment.events.request.fire(
            request_type="WS", name="talk", response_time=seconds * 1000, response_length=0, exception=problem, context={}
        )
