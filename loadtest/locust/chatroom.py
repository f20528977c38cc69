"""What the load script of document 002 does: the name in the header `username`, protobuf in text frames."""

import os

from locust import task
from plaza_ws import ChatUser, encode, strings

PATH = os.environ.get("PLAZA_PATH", "/ws")


class ChatroomUser(ChatUser):
    def address(self):
        return PATH, [f"username: {self.name}"]

    def message(self):
        return encode("talk", self.name, "hello"), True

    def is_own(self, payload):
        found = strings(payload)
        return found.get(1) == "talk" and found.get(2) == self.name and found.get(3) == "hello"

    @task
    def say(self):
        self.talk()
