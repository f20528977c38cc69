"""The part of the protobuf wire format that strings, lists and maps of strings need. Never: does I/O."""


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(*strings):
    """A message with these strings as fields 1, 2, 3, …; empty ones are left out."""
    out = b""
    for number, text in enumerate(strings, 1):
        raw = text.encode()
        if raw:
            out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
    return out


def fields(message):
    """(number, bytes) of each field, in order. Knows only length-delimited fields."""
    at = 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(message):
        key = varint()
        assert key & 7 == 2, f"field {key >> 3} has the wire type {key & 7}"
        length = varint()
        yield key >> 3, message[at : at + length]
        at += length
        assert at <= len(message), "a field is cut off"


class Message:
    """A message as a dictionary by field name; fields in `lists` repeat, fields in `maps` are maps of strings."""

    def __init__(self, raw, names, lists=(), maps=()):
        self.fields = {name: [] if name in lists else {} if name in maps else "" for name in names}
        for number, value in fields(raw):
            name = names[number - 1]
            if name in maps:
                entry = dict(fields(value))
                self.fields[name][entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            elif name in lists:
                self.fields[name].append(value.decode())
            else:
                self.fields[name] = value.decode()

    def __getitem__(self, name):
        return self.fields[name]

    def __repr__(self):
        return repr(self.fields)


def communication(raw):
    return Message(raw, ["Type", "Msg", "Username", "Userlist", "IP"], lists=["Userlist"])


def chat_request(raw):
    return Message(raw, ["userName", "type", "content", "userList"], maps=["userList"])


def chatroom(raw):
    return Message(raw, ["type", "user_name", "content", "user_list"], maps=["user_list"])
