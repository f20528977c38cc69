"""What the load script of document 000 does: /ws?username=tst_user_N, and {Type: "1", Msg: "hhhhhh"} once a second."""

import os

from locust import task
from plaza_ws import ChatUser, encode, strings

PATH = os.environ.get("PLAZA_PATH", "/ws")


class CommunicationUser(ChatUser):
    def address(self):
        return f"{PATH}?username={self.name}", []

    def message(self):
        return encode("1", "hhhhhh"), False

    def is_own(self, payload):
        found = strings(payload)
        return found.get(1) == "1" and found.get(3) == self.name and found.get(2) == f"{self.name}:hhhhhh"

    @task
    def say(self):
        self.talk()
