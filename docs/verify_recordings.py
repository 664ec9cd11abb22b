#!/usr/bin/env python3
"""Checks an iddio recording without iddio: python3 verify_recordings.py FILE (see recordings.md)."""
import hashlib, json, struct, sys

def unpack(data, size):  # an LZ4 block
    out, at = bytearray(), 0
    def more(n):
        nonlocal at
        while n >= 15:
            at += 1
            n += data[at - 1]
            if data[at - 1] != 255:
                break
        return n
    while at < len(data):
        token, at = data[at], at + 1
        n = more(token >> 4)
        out += data[at:at + n]
        at += n
        if at < len(data):
            back, at = data[at] | data[at + 1] << 8, at + 2
            for _ in range(more(token & 15) + 4):
                out.append(out[-back])
    assert len(out) == size, "does not unpack"
    return bytes(out)

data = open(sys.argv[1], "rb").read()
assert data[:18] == b"iddio recording 1\n", "no recording"
at, tracks = 18, {}
while at < len(data):
    mark, kind, packing, zero, stored, size, number, who = struct.unpack("<4sBBHIII16s", data[at:at + 36])
    end = at + 36 + stored
    assert mark == b"iRb1" and zero == 0 and packing < 2 and end + 32 <= len(data), "no block at %d" % at
    track = tracks.setdefault(who.hex(), {"link": bytes(32), "number": 0, "offset": at, "bytes": 0, "end": None})
    link = hashlib.sha256(track["link"] + data[at:end]).digest()
    fits = link == data[end:end + 32] and number == track["number"] and track["end"] is None
    assert fits and (kind == 1) == (number == 0), "the block at %d is not the next of %s" % (at, who.hex())
    content = unpack(data[at + 36:end], size) if packing else data[at + 36:end]
    track.update(link=link, number=number + 1, bytes=track["bytes"] + end + 32 - at, end=json.loads(content) if kind == 3 else None)
    at = end + 32
for who, track in tracks.items():
    print(who, "unsealed" if track["end"] is None else "sealed", track["offset"], track["bytes"], track["link"].hex())
