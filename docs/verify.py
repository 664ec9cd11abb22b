#!/usr/bin/env python3
"""Checks an iddio audit log without iddio: python3 verify.py DIR (see audit-format.md)."""
import glob, hashlib, json, os, sys

def canonical(value):
    if isinstance(value, dict):  # RFC 8785: names sorted by UTF-16 code units
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(canonical(k) + ":" + canonical(v) for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, bool) or isinstance(value, str) or (isinstance(value, int) and 0 <= value < 2**53):
        return json.dumps(value, ensure_ascii=False)
    raise ValueError("no record holds %r" % (value,))

def check(line, seq, prev):
    record = json.loads(line.decode("utf-8"))
    if canonical(record).encode("utf-8") != line:
        raise ValueError("not canonical JSON")
    stated = record.pop("hash")
    if hashlib.sha256(canonical(record).encode("utf-8")).hexdigest() != stated:
        raise ValueError("not the record whose hash it states")
    if record["seq"] != seq or record["prev_hash"] != prev:
        raise ValueError("does not follow the record before it")
    return stated

seq, prev, rest = 0, "genesis", b""
for path in sorted(glob.glob(os.path.join(sys.argv[1], "[0-9]" * 10 + ".jsonl"))):
    lines = (rest + open(path, "rb").read()).split(b"\n")
    rest = lines.pop()  # what has no newline yet is no record
    for line in lines:
        try:
            prev, seq = check(line, seq, prev), seq + 1
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as why:
            sys.exit("bad record %d in %s: %s" % (seq, path, why))
print("ok %d records, head %s" % (seq, prev))
