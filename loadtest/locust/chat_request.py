"""What the load script of document 001 does: no header, userName "tom" for everybody, protobuf in text frames.

All users have the same name, so each talk has a text of its own by which its sender knows it again.
"""

import os

from locust import task
from plaza_ws import ChatUser, encode, strings

PATH = os.environ.get("PLAZA_PATH", "/ws")


class ChatRequestUser(ChatUser):
    said = 0

    def address(self):
        return PATH, []

    def message(self):
        self.said += 1
        self.text = f"hello {self.number} {self.said}"
        return encode("tom", "talk", self.text), True

    def is_own(self, payload):
        found = strings(payload)
        return found.get(2) == "talk" and found.get(3) == self.text

    @task
    def say(self):
        self.talk()
