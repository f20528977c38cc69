"""The tests of scripts/nginx-tests.sh, with the server and the WebSocket client of tests/python."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import websocket

PATIENCE = 20
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))
from server import Server  # noqa: E402
from wire import encode  # noqa: E402


class Plaza(Server):
    """A server without a store, on a free port."""

    def __init__(self):
        super().__init__(
            "--set", "http.trusted_proxies=127.0.0.1",
            # Shorter than the proxy's timeout below, as 54 s is shorter than the 150 s of deploy/nginx.conf.
            "--set", "chat.legacy_pings=tutorial=1s",
        )
        self.port = int(self.address.rpartition(":")[2])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Nginx:
    """A private nginx with deploy/nginx.conf, with other addresses and times."""

    def __init__(self, first, second):
        self.directory = tempfile.TemporaryDirectory(prefix="plaza-nginx-")
        self.port = free_port()
        conf = (ROOT / "deploy/nginx.conf").read_text()
        for pattern, replacement in [
            (r"listen 80;", f"listen 127.0.0.1:{self.port};"),
            (r"server 127\.0\.0\.1:8080 ", f"server 127.0.0.1:{first.port} "),
            (r"server 127\.0\.0\.1:8090 ", f"server 127.0.0.1:{second.port} "),
            (r"proxy_read_timeout 150s;", "proxy_read_timeout 3s;"),
            (r"proxy_send_timeout 150s;", "proxy_send_timeout 3s;"),
        ]:
            conf, count = re.subn(pattern, replacement, conf)
            assert count == 1, f"{pattern} is {count} times in deploy/nginx.conf"
        main = f"""
            daemon off; master_process off; pid {self.directory.name}/pid; error_log {self.directory.name}/error.log;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                {conf}
            }}
        """
        path = pathlib.Path(self.directory.name) / "nginx.conf"
        path.write_text(main)
        self.process = subprocess.Popen(
            [os.environ["NGINX"], "-p", self.directory.name, "-c", str(path)], stderr=subprocess.DEVNULL
        )
        wait_for(lambda: reachable(self.port), "nginx does not listen: " + self.errors)

    @property
    def errors(self):
        log = pathlib.Path(self.directory.name) / "error.log"
        return log.read_text() if log.exists() else ""

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.directory.cleanup()


class Client:
    """A page of the proxy's own origin unless a header names another. Answers pings while it reads."""

    def __init__(self, port, path, headers=(), source="127.0.0.1"):
        self.socket = websocket.WebSocket()
        self.socket.connect(
            f"ws://127.0.0.1:{port}{path}",
            socket=socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)),
            header=[f"{name}: {value}" for name, value in headers],
            origin=dict(headers).get("Origin", f"http://127.0.0.1:{port}"),
            suppress_origin="Origin" in dict(headers),
        )

    def send(self, payload):
        self.socket.send(payload) if isinstance(payload, str) else self.socket.send_binary(payload)

    def next_but(self, unwanted):
        """The next message without this beginning, because lists arrive unasked."""
        while True:
            payload = self.next()
            if not payload.startswith(unwanted):
                return payload

    def next(self):
        opcode, payload = self.socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise ConnectionError(f"closed with {payload!r}")
        return payload

    def json(self, wanted=lambda message: True):
        while True:
            message = json.loads(self.next())
            if wanted(message):
                return message

    def close(self):
        self.socket.shutdown()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_for(condition, otherwise):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(otherwise)
        time.sleep(0.02)


class BehindNginx(unittest.TestCase):
    def setUp(self):
        self.first, self.second = Plaza(), Plaza()
        self.addCleanup(self.second.kill)
        self.addCleanup(self.first.kill)
        self.nginx = Nginx(self.first, self.second)
        self.addCleanup(self.nginx.stop)

    def client(self, path, **options):
        client = Client(self.nginx.port, path, **options)
        self.addCleanup(client.close)
        return client

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.nginx.port}{path}", timeout=PATIENCE) as answer:
            return answer.read().decode()

    def tutor(self, name, **options):
        client = self.client("/ws/tutorial", **options)
        greeting = client.json()
        client.send(json.dumps({"type": "login", "content": name}))
        client.json(lambda message: message["type"] == "login" and message["user"] == name)
        return client, greeting

    def test_all_dialects_talk_with_each_other(self):
        ann, _ = self.tutor("ann")
        communication = self.client("/ws?username=%E5%BC%A0%E4%B8%89")
        communication.send(encode("1", "hi"))
        self.assertEqual(communication.next_but(encode("3")), encode("1", "张三:hi", "张三"))
        request = self.client("/ws/chat-request", headers=[("username", "李四")])
        request.send(encode("", "talk", "hello"))
        self.assertEqual(request.next_but(encode("", "userlist")), encode("李四", "talk", "hello"))
        chatroom = self.client("/ws/chatroom", headers=[("username", "wu")])
        chatroom.send(encode("talk", "", "hey"))
        self.assertEqual(chatroom.next(), encode("talk", "wu", "hey"))
        action = self.client("/ws?uid=7&groups_id=1")
        self.assertEqual(action.json()["data"]["action"], "enter")
        action.send(json.dumps({"seq": "1", "action": "login", "data": {"appId": 1, "userId": "7", "groupsId": "1"}}))
        self.assertEqual(action.json()["response"]["code"], 200)
        action.send(json.dumps({"seq": "2", "action": "sendmsg", "data": {"msgType": "text", "message": "yo"}}))
        native = self.client("/chat", headers=[("Sec-WebSocket-Protocol", "plaza.v1.json")])
        native.send(json.dumps({"id": 1, "hello": {"name": "zoe"}}))
        native.json(lambda message: "welcome" in message)
        native.send(json.dumps({"id": 2, "join": {"room": "lobby"}}))
        native.json(lambda message: "joined" in message)
        native.send(json.dumps({"id": 3, "talk": {"room": "lobby", "text": "bye"}}))
        talks = [("张三", "hi"), ("李四", "hello"), ("wu", "hey"), ("7", "yo"), ("zoe", "bye")]
        seen = [ann.json(lambda message: message["type"] == "user") for _ in talks]
        self.assertEqual([(talk["user"], talk["content"]) for talk in seen], talks)

    def test_action_one_to_one_and_its_pages(self):
        for path, part in [("/home/index?uid=1&to_uid=2", "action/page.js"), ("/", "<!DOCTYPE html>")]:
            self.assertIn(part.lower(), self.get(path).lower())
        self.assertIn("message Communication", self.get("/connect.proto"))
        clients = {}
        for user, to in [("1", "2"), ("2", "1")]:
            client = clients[user] = self.client(f"/ws/action?uid={user}&to_uid={to}&groups_id=0")
            client.json()
            login = {"appId": 1, "userId": user, "toUid": to, "groupsId": "0"}
            client.send(json.dumps({"seq": "1", "action": "login", "data": login}))
            self.assertEqual(client.json()["response"], {"code": 200, "msg": "Success", "data": None})
        clients["1"].send(json.dumps({"seq": "2", "action": "sendmsg", "data": {"msgType": "text", "message": "你好"}}))
        self.assertEqual(clients["1"].json()["response"]["code"], 200)
        push = clients["2"].json()["data"]
        self.assertEqual((push["action"], push["content"], push["from"], push["to"]), ("sendmsg", "你好", "1", "2"))
        clients["2"].close()
        self.assertEqual(clients["1"].json()["data"]["content"], "用户已经离开")
        users = json.loads(self.get("/user/list?groupsId=1"))
        self.assertEqual(users, {"code": 200, "msg": "Success", "data": {"userList": []}})
        groups = json.loads(self.get("/user/groupslist?appId=1"))
        self.assertEqual(groups, {"code": 200, "msg": "Success", "data": [{"ID": 1}]})

    def test_the_clients_address_is_the_one_that_nginx_saw(self):
        _, greeting = self.tutor("ann", source="127.0.0.2")
        self.assertTrue(greeting["ip"].startswith("127.0.0.2"), greeting)
        _, greeting = self.tutor("eve", source="127.0.0.3", headers=[("X-Forwarded-For", "203.0.113.5")])
        self.assertTrue(greeting["ip"].startswith("127.0.0.3"), greeting)

    def test_a_quiet_connection_outlives_the_proxys_patience(self):
        ann, _ = self.tutor("ann")
        bob, _ = self.tutor("bob")
        ann.socket.settimeout(0.5)
        quiet_until = time.monotonic() + 5
        while time.monotonic() < quiet_until:
            for client in (ann, bob):
                client.socket.settimeout(0.1)
                try:
                    # Answers the server's pings, as every client does.
                    client.json(lambda message: False)
                except websocket.WebSocketTimeoutException:
                    client.socket.settimeout(PATIENCE)
        bob.send(json.dumps({"type": "user", "content": "still here"}))
        self.assertEqual(ann.json(lambda message: message["type"] == "user")["content"], "still here")

    def test_the_second_server_stands_in_when_the_first_is_killed(self):
        ann, _ = self.tutor("ann")
        self.first.kill()
        with self.assertRaises(websocket.WebSocketConnectionClosedException):
            ann.json(lambda message: False)
        began = time.monotonic()
        bob, greeting = self.tutor("bob")
        self.assertEqual(greeting["user_list"], [])
        ann, greeting = self.tutor("ann")
        self.assertEqual(greeting["user_list"], ["bob"])
        self.assertLess(time.monotonic() - began, 10)
        bob.send(json.dumps({"type": "user", "content": "we are back"}))
        self.assertEqual(ann.json(lambda message: message["type"] == "user")["content"], "we are back")
        self.assertIn("action/page.js", self.get("/home/room?uid=1&groups_id=1"))

    def test_a_page_of_another_origin_is_refused_behind_the_proxy_too(self):
        with self.assertRaisesRegex(websocket.WebSocketBadStatusException, " 403 "):
            Client(self.nginx.port, "/ws/tutorial", headers=[("Origin", "http://evil.example")])


if __name__ == "__main__":
    os.environ.setdefault("PLAZA_BIN", str(ROOT / "target/debug/plaza"))
    os.environ.setdefault("NGINX", "/usr/sbin/nginx")
    sys.exit(not unittest.main(verbosity=2, exit=False).result.wasSuccessful())
