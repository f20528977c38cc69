"""Every dialect with real third-party clients, in Chinese, through text and binary frames.

Run by scripts/python-tests.sh. Each test has its own server, so that no list has users of another test.
"""

import json
import unittest
import urllib.parse

import wire
from clients import LIBRARIES, Closed, WebsocketClient, in_threads, until
from server import Server

ZHANG, TEXT = "张三", "你好，世界 🌏"


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()
        self.assertEqual(self.server.stop(), 0, "the server did not end cleanly")

    def connect(self, library, path, headers=None, subprotocols=None):
        client = library(self.server.url(path), headers, subprotocols)
        self.clients.append(client)
        return client

    def both_ways(self, client):
        """The ways to send protobuf: in a binary frame and, like the old scripts, in a text frame."""
        return [client.send_binary, client.send_text]


class Communication(ClientTest):
    def talk_and_list(self, library, path, headers=None, name=ZHANG):
        client = self.connect(library, path, headers)
        # Clients without an Origin are sent the list when they come, and may be sent the list of the one before once more.
        next_of = lambda kind: wire.communication(until(client, lambda raw: wire.communication(raw)["Type"] == kind))
        for send in self.both_ways(client):
            send(wire.encode("1", TEXT))
            message = next_of("1")
            self.assertEqual((message["Type"], message["Msg"], message["Username"]), ("1", f"{name}:{TEXT}", name))
            self.assertEqual((message["Userlist"], message["IP"]), ([], ""))
            send(wire.encode("7"))
            message = next_of("7")
            self.assertEqual((message["Msg"], message["Userlist"]), (f"{name},", [name]))
        client.send_binary(wire.encode("2"))
        message = next_of("2")
        self.assertEqual((message["Type"], message["Msg"]), ("2", f"{name}out"))
        with self.assertRaises(Closed) as closed:
            client.receive()
        self.assertEqual(closed.exception.code, 1000)

    def test_named_by_the_query(self):
        for library in LIBRARIES:
            with self.subTest(library.name):
                self.talk_and_list(library, "/ws?username=" + urllib.parse.quote(ZHANG))
                self.talk_and_list(library, "/ws/communication?username=" + urllib.parse.quote_plus("张 三"), name="张 三")

    def test_named_by_the_query_raw(self):
        # websockets percent-encodes by itself; websocket-client sends what it is given.
        for library in LIBRARIES:
            with self.subTest(library.name):
                self.talk_and_list(library, "//ws?username=" + ZHANG)

    def test_named_by_headers(self):
        for library in LIBRARIES:
            for header in ["login-username", "username"]:
                with self.subTest(library.name, header=header):
                    self.talk_and_list(library, "/ws", {header: urllib.parse.quote(ZHANG)})

    def test_named_by_raw_headers(self):
        self.talk_and_list(WebsocketClient, "/ws", {"login-username": ZHANG})


class ChatRequest(ClientTest):
    def talk_and_list(self, library, path, headers, name=ZHANG):
        client = self.connect(library, path, headers)
        # Lists without content come by themselves, when somebody comes or takes another name.
        shown = lambda: wire.chat_request(until(client, lambda raw: wire.chat_request(raw)["content"]))
        for send in self.both_ways(client):
            send(wire.encode(name, "talk", TEXT))
            message = shown()
            self.assertEqual((message["userName"], message["type"], message["content"]), (name, "talk", TEXT))
            self.assertEqual(message["userList"], {})
            send(wire.encode(name, "userlist"))
            message = shown()
            self.assertEqual((message["type"], message["content"]), ("userlist", f"{name},"))
            self.assertEqual(message["userList"], {name: name})
        client.send_text(wire.encode(name, "exit"))
        message = shown()
        self.assertEqual((message["userName"], message["type"], message["content"]), (name, "exit", "exit"))
        with self.assertRaises(Closed) as closed:
            client.receive()
        self.assertEqual(closed.exception.code, 1000)

    def test_told_apart_and_outright(self):
        for library in LIBRARIES:
            for path in ["/ws", "/ws/chat-request"]:
                with self.subTest(library.name, path=path):
                    self.talk_and_list(library, path, {"username": urllib.parse.quote(ZHANG)})
                    self.talk_and_list(library, path, None)

    def test_raw_header(self):
        self.talk_and_list(WebsocketClient, "/ws", {"username": ZHANG})

    def test_the_list_is_learned_without_asking(self):
        """The desktop client reads the list only from `userList`, and requests nothing."""
        for library in LIBRARIES:
            with self.subTest(library.name):
                client = self.connect(library, "/ws/chat-request", {"username": "ann"})
                other = self.connect(library, "/ws/chat-request", {"username": "bob"})
                listed = lambda names: until(
                    client, lambda raw: sorted(wire.chat_request(raw)["userList"]) == names
                )
                message = wire.chat_request(listed(["ann", "bob"]))
                self.assertEqual(message["content"], "")
                other.close()
                listed(["ann"])
                client.close()


class Chatroom(ClientTest):
    def talk_and_list(self, library, path, headers, name=ZHANG):
        client = self.connect(library, path, headers)
        for send in self.both_ways(client):
            send(wire.encode("talk", "somebody else", TEXT))
            message = wire.chatroom(client.receive())
            self.assertEqual((message["type"], message["user_name"], message["content"]), ("talk", name, TEXT))
            self.assertEqual(message["user_list"], {})
            send(wire.encode("userlist"))
            message = wire.chatroom(client.receive())
            self.assertEqual((message["type"], message["user_list"]), ("userlist", {name: name}))
        client.send_binary(wire.encode("exit"))
        with self.assertRaises(Closed) as closed:
            client.receive()
        self.assertEqual(closed.exception.code, 1000)

    def test_told_apart_and_outright(self):
        for library in LIBRARIES:
            for path in ["/ws", "/ws/chatroom"]:
                with self.subTest(library.name, path=path):
                    self.talk_and_list(library, path, {"username": urllib.parse.quote(ZHANG)})

    def test_raw_header(self):
        self.talk_and_list(WebsocketClient, "/ws", {"username": ZHANG})


class Tutorial(ClientTest):
    def test_login_talk_list_rename_logout(self):
        for library in LIBRARIES:
            for path in ["/ws", "/ws/tutorial"]:
                with self.subTest(library.name, path=path):
                    client = self.connect(library, path)
                    hello = json.loads(client.receive())
                    self.assertEqual((hello["type"], hello["user_list"]), ("handshake", []))
                    for send in [client.send_text, lambda text: client.send_binary(text.encode())]:
                        kind = "login" if send == client.send_text else "rename"
                        name = ZHANG if kind == "login" else "李四"
                        send(json.dumps({"type": kind, "content": name}, ensure_ascii=False))
                        notice = until(client, lambda text: json.loads(text)["content"] == name)
                        self.assertEqual(json.loads(notice)["user_list"], [name])
                        send(json.dumps({"type": "user", "content": TEXT}))
                        line = json.loads(client.receive())
                        self.assertEqual((line["type"], line["from"], line["content"]), ("user", name, TEXT))
                        self.assertEqual(list(line), ["ip", "user", "from", "type", "content", "user_list"])
                        send(json.dumps({"type": "list"}))
                        self.assertEqual(json.loads(client.receive())["user_list"], [name])
                    client.send_text(json.dumps({"type": "logout", "content": "李四"}))
                    notice = json.loads(client.receive())
                    self.assertEqual((notice["type"], notice["content"], notice["user_list"]), ("logout", "李四", []))
                    with self.assertRaises(Closed) as closed:
                        until(client, lambda _: False)
                    self.assertEqual(closed.exception.code, 1000)


class Action(ClientTest):
    def request(self, client, action, data, binary):
        text = json.dumps({"seq": "7", "action": action, "data": data}, ensure_ascii=False)
        client.send_binary(text.encode()) if binary else client.send_text(text)
        answer = json.loads(until(client, lambda text: "response" in json.loads(text)))
        self.assertEqual((answer["seq"], answer["action"]), ("7", action))
        return answer["response"]["code"]

    def come(self, library, path, user, binary, **data):
        client = self.connect(library, path)
        self.assertEqual(json.loads(client.receive())["data"]["content"], "连接成功")
        data = {"token": "", "appId": 1, "userId": user, **data}
        self.assertEqual(self.request(client, "login", data, binary), 200)
        return client

    def test_one_to_one_and_in_a_group(self):
        for library in LIBRARIES:
            for binary in [False, True]:
                with self.subTest(library.name, binary=binary):
                    one = self.come(library, "/ws?uid=1&to_uid=2", "1", binary, toUid="2", groupsId="0")
                    two = self.come(library, "/ws?uid=2&to_uid=1", "2", binary, toUid="1", groupsId="0")
                    self.assertEqual(self.request(one, "heartbeat", {}, binary), 200)
                    self.assertEqual(self.request(one, "sendmsg", {"msgType": "text", "message": TEXT}, binary), 200)
                    push = json.loads(two.receive())["data"]
                    self.assertEqual((push["action"], push["from"], push["content"]), ("sendmsg", "1", TEXT))
                    two.close()
                    push = json.loads(one.receive())["data"]
                    self.assertEqual((push["action"], push["content"]), ("exit", "用户已经离开"))
                    one.close()
                    three = self.come(library, "/ws/action", ZHANG, binary, groupsId="1")
                    four = self.come(library, "/ws/action", "4", binary, groupsId="1")
                    self.assertEqual(self.request(four, "sendmsg", {"msgType": "text", "message": TEXT}, binary), 200)
                    for client in [three, four]:
                        push = json.loads(client.receive())["data"]
                        self.assertEqual((push["from"], push["content"]), ("4", TEXT))
                        self.assertEqual(push["to"], {three: ZHANG, four: "4"}[client])
                        self.assertEqual(push["msgId"], "7")
                    three.close()
                    four.close()


class Plaza(ClientTest):
    def test_json(self):
        for library in LIBRARIES:
            with self.subTest(library.name):
                client = self.connect(library, "/chat", subprotocols=["plaza.v1.json"])
                client.send_text(json.dumps({"id": 1, "hello": {"name": ZHANG}}))
                self.assertEqual(json.loads(client.receive())["welcome"]["name"], ZHANG)
                client.send_text(json.dumps({"id": 2, "join": {"room": "大厅"}}))
                self.assertEqual(json.loads(client.receive())["joined"]["online"], 1)
                client.send_text(json.dumps({"id": 3, "talk": {"room": "大厅", "text": TEXT}}, ensure_ascii=False))
                message = json.loads(until(client, lambda text: "message" in json.loads(text)))["message"]
                self.assertEqual((message["from"], message["text"]), (ZHANG, TEXT))
                client.close()

    def test_protobuf(self):
        for library in LIBRARIES:
            with self.subTest(library.name):
                client = self.connect(library, "/chat", subprotocols=["plaza.v1.proto"])
                hello, join, talk = wire.encode(ZHANG), wire.encode("大厅"), wire.encode("大厅", TEXT)
                for field, body in [(2, hello), (3, join), (5, talk)]:
                    client.send_binary(bytes([field << 3 | 2, len(body)]) + body)
                message = until(client, lambda raw: TEXT.encode() in raw)
                self.assertIn(ZHANG.encode(), message)
                client.close()


class OldLoadScripts(ClientTest):
    """Clients like the load scripts of three documents: they send once and wait for their own echo."""

    USERS, TALKS = 20, 5

    def run_users(self, connect, say, read):
        def user(number):
            client = connect(number)
            for talk in range(self.TALKS):
                say(client, number, talk)
                until(client, lambda raw: read(raw, number, talk))

        in_threads(user, self.USERS)

    def test_document_000(self):
        """`/ws?username=tst_user_N`, `{Type: "1", Msg: "hhhhhh"}` as a binary message."""
        self.run_users(
            lambda number: self.connect(WebsocketClient, f"/ws?username=tst_user_{number}"),
            lambda client, number, talk: client.send_binary(wire.encode("1", "hhhhhh")),
            lambda raw, number, talk: wire.communication(raw)["Msg"] == f"tst_user_{number}:hhhhhh",
        )

    def test_document_001(self):
        """No header at all, `userName` is tom, and protobuf bytes as a text message."""
        self.run_users(
            lambda number: self.connect(WebsocketClient, "/ws"),
            lambda client, number, talk: client.send_text(wire.encode("tom", "talk", f"hello {number} {talk}")),
            lambda raw, number, talk: wire.chat_request(raw)["content"] == f"hello {number} {talk}",
        )
        client = self.connect(WebsocketClient, "/ws")
        client.send_text(wire.encode("tom", "userlist"))
        message = wire.chat_request(until(client, lambda raw: wire.chat_request(raw)["content"]))
        self.assertEqual(message["userList"], {"tom": "tom"}, "all of them are one user")

    def test_document_002(self):
        """The header `username`, and protobuf bytes as a text message; half of the users are Chinese."""
        names = [f"user{number}" if number % 2 else f"用户{number}" for number in range(self.USERS)]
        self.run_users(
            lambda number: self.connect(WebsocketClient, "/ws", {"username": names[number]}),
            lambda client, number, talk: client.send_text(wire.encode("talk", names[number], f"你好 {talk}")),
            lambda raw, number, talk: (
                wire.chatroom(raw)["user_name"] == names[number] and wire.chatroom(raw)["content"] == f"你好 {talk}"
            ),
        )


class Together(ClientTest):
    def test_users_of_all_dialects_read_each_other(self):
        say = {
            "communication": lambda client, text: client.send_binary(wire.encode("1", text)),
            "chat-request": lambda client, text: client.send_text(wire.encode("", "talk", text)),
            "chatroom": lambda client, text: client.send_text(wire.encode("talk", "", text)),
            "tutorial": lambda client, text: client.send_text(json.dumps({"type": "user", "content": text})),
            "action": lambda client, text: client.send_text(
                json.dumps({"seq": "1", "action": "sendmsg", "data": {"msgType": "text", "message": text}})
            ),
        }
        clients = {}
        for number, dialect in enumerate(say):
            library = LIBRARIES[number % 2]
            headers = {"username": dialect} if dialect in ("communication", "chat-request", "chatroom") else None
            clients[dialect] = self.connect(library, f"/ws/{dialect}", headers)
        # Whoever has an answer is in the room.
        for dialect, first in [
            ("communication", wire.encode("3")),
            ("chat-request", wire.encode("", "userlist")),
            ("chatroom", wire.encode("userlist")),
        ]:
            clients[dialect].send_binary(first)
            clients[dialect].receive()
        clients["tutorial"].send_text(json.dumps({"type": "login", "content": "tutorial"}))
        until(clients["tutorial"], lambda text: '"login"' in text)
        login = {"appId": 1, "userId": "action", "groupsId": "1"}
        clients["action"].send_text(json.dumps({"seq": "1", "action": "login", "data": login}))
        until(clients["action"], lambda text: '"response"' in text)
        for speaker, client in clients.items():
            text = f"{TEXT} {speaker}"
            say[speaker](client, text)
            for reader in clients.values():
                heard = until(
                    reader, lambda message: text in (message if isinstance(message, str) else message.decode())
                )
                self.assertIn(speaker, heard if isinstance(heard, str) else heard.decode())


if __name__ == "__main__":
    unittest.main()
