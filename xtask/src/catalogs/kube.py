"""Writes the two tables about Kubernetes: the messages of its protobuf form, and its requests.

    pip download --no-deps kubernetes==37.0.2 && unzip kubernetes-37.0.2-*.whl -d CLIENT
    cargo download k8s-pb==0.9.0, or any other way to its sources: PB
    python3 xtask/src/catalogs/kube.py CLIENT PB [--check]

Two published clients are read as text, and nothing of them is run: the Python client has every path of
the OpenAPI document with its operation and the names of members in JSON; k8s-pb has the numbers and
types of the protobuf messages. With `--check` nothing is written, and a difference is an error.
"""

import pathlib
import re
import sys

MESSAGES = "policies/catalog/kube-messages.txt"
REQUESTS = "tests/vectors/kube-requests.tsv"

# The API groups by the directory that their types are in.
GROUPS = {
    "admissionregistration": "admissionregistration.k8s.io",
    "apiserverinternal": "internal.apiserver.k8s.io",
    "apps": "apps",
    "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io",
    "autoscaling": "autoscaling",
    "batch": "batch",
    "certificates": "certificates.k8s.io",
    "coordination": "coordination.k8s.io",
    "core": "",
    "discovery": "discovery.k8s.io",
    "events": "events.k8s.io",
    "flowcontrol": "flowcontrol.apiserver.k8s.io",
    "networking": "networking.k8s.io",
    "node": "node.k8s.io",
    "policy": "policy",
    "rbac": "rbac.authorization.k8s.io",
    "resource": "resource.k8s.io",
    "scheduling": "scheduling.k8s.io",
    "storage": "storage.k8s.io",
    "storagemigration": "storagemigration.k8s.io",
    "apiextensions": "apiextensions.k8s.io",
    "apiregistration": "apiregistration.k8s.io",
    "meta": "meta.k8s.io",
}

VERBS = {
    "connect_delete": "delete",
    "connect_get": "get",
    "connect_head": "get",
    "connect_options": "",
    "connect_patch": "patch",
    "connect_post": "create",
    "connect_put": "update",
    "create": "create",
    "delete_collection": "deletecollection",
    "delete": "delete",
    "list": "list",
    "patch": "patch",
    "read": "get",
    "replace": "update",
}


def version_of(client):
    text = (client / "kubernetes/client/api/core_v1_api.py").read_text()
    return re.search(r"version of the OpenAPI document: release-(\S+)", text)[1]


def requests(client):
    """Method, path, verb, group, version, resource, subresource, place of every operation."""
    rows = set()
    for file in sorted((client / "kubernetes/client/api").glob("*_api.py")):
        if file.name == "custom_objects_api.py":
            continue
        pattern = r"def _(\w+)_serialize\(.*?method='(\w+)',\s*resource_path='([^']+)'"
        for operation, method, path in re.findall(pattern, file.read_text(), re.S):
            rows.add((path, method, *request(operation, method, path)))
    return sorted(rows)


def request(operation, method, path):
    prefix = max((p for p in VERBS if operation.startswith(p + "_")), key=len, default="")
    words = path.strip("/").split("/")
    resource = re.match(r"/(api|apis/[^/]+)/v[^/]+/[^/]", path)
    if not resource:
        return method.lower(), "", "", "", "", ""
    words = words[1:] if words[0] == "api" else words[1:]
    group = "" if path.startswith("/api/") else words.pop(0)
    version = words.pop(0)
    place = "cluster"
    # The template says by itself what is a name and what is not.
    if words[:2] == ["namespaces", "{namespace}"] and len(words) > 2:
        place, words = "namespace", words[2:]
    fixed = [word for word in words if not word.startswith("{")]
    subresource = fixed[1] if len(fixed) > 1 else ""
    return VERBS[prefix], group, version, fixed[0], subresource, place


def names(client):
    """Every JSON name, by its letters: of each model, and of all together."""
    models, every = {}, {}
    for file in sorted((client / "kubernetes/client/models").glob("*.py")):
        text = file.read_text()
        model = re.search(r"^class (\w+)\(BaseModel", text, re.M)
        if not model:
            continue
        own = {}
        for line in re.findall(r"^    (\w+: [A-Za-z].*)$", text, re.M):
            name = line.split(":")[0]
            alias = re.search(r'serialization_alias="([^"]+)"|[( ]alias="([^"]+)"', line)
            if name in ("model_config",) or name.startswith("__"):
                continue
            name = (alias[1] or alias[2]) if alias else name
            own[letters(name)] = name
            every.setdefault(letters(name), name)
        models[letters(model[1])] = own
    return models, every


def letters(name):
    return name.replace("_", "").replace("$", "").replace("-", "").lower()


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def messages(pb, client, versions):
    models, every = names(client)
    found = {}
    for file in sorted((pb / "src").rglob("mod.rs")):
        place = file.parent.relative_to(pb / "src").parts
        if not re.fullmatch(r"v\d\w*", place[-1]) and "api/resource" not in str(file) \
                and "runtime" not in place and "intstr" not in place:
            continue
        for name, body in re.findall(r"^pub struct (\w+) \{(?:\}|\n(.*?)^\})", file.read_text(), re.S | re.M):
            own = called(place, name)
            if own:
                found[own] = fields(own, place, body, models, every)
    roots = {name for name in found if name.rsplit(".", 1)[0] in versions and
             any(field[1] == "metadata" for field in found[name])}
    roots |= {"meta.k8s.io/v1.DeleteOptions"}
    reached, waiting = set(), sorted(roots)
    while waiting:
        name = waiting.pop()
        if name in reached or name in SPECIAL:
            continue
        reached.add(name)
        waiting += [field[2].lstrip("*%^") for field in found[name] if "." in field[2]]
    return {name: found[name] for name in sorted(reached)}


SPECIAL = {"FieldsV1", "IntOrString", "MicroTime", "Quantity", "RawExtension", "Time", "."}


def called(place, name):
    """The name of a message: the API version and the kind, as an object says them."""
    if place[-1] in ("resource", "intstr", "runtime"):
        return name if name in SPECIAL else None
    if place[-2] == "meta" and name in SPECIAL:
        return name
    group = GROUPS.get(place[-2])
    if group is None:
        return None
    return f"{group}/{place[-1]}.{name}" if group else f"{place[-1]}.{name}"


def fields(own, place, body, models, every):
    version, kind = own.rsplit(".", 1) if "." in own else ("", own)
    model = models.get(letters(version.rsplit("/", 1)[-1] + kind))
    rows = []
    for attribute, name, kind in re.findall(r"#\[prost\((.*?)\)\]\s*pub (\S+):\s*(.*?),\n(?=    ///|    #|$)", body + "\n", re.S):
        name = name.removeprefix("r#").rstrip("_")
        parts = [part.strip().strip('"') for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", attribute)]
        number = int(re.search(r'tag = "(\d+)"', attribute)[1])
        kind = " ".join(kind.split())
        what = type_of(parts, kind, place)
        json = (model or {}).get(letters(name))
        # Members of an object of its own that JSON does not have are written into the object around it.
        inlined = letters(what.rsplit(".", 1)[-1]).endswith(letters(name))
        if model is not None and json is None and inlined and not what.startswith(("*", "%")):
            what = "^" + what
        rows.append((number, json or every.get(letters(name)) or camel(name), what))
    return sorted(rows)


SCALARS = {"string": "s", "bool": "b", "int32": "i", "int64": "l", "double": "d", "bytes": "y"}


def type_of(parts, kind, place):
    first = parts[0]
    if first.startswith("btree_map"):
        key, value = [part.strip() for part in first.split('"')[1].split(",")] if '"' in first else [
            part.strip() for part in first.split("= ")[1].strip('"').split(",")]
        assert key == "string", key
        inner = re.search(r"BTreeMap<\s*::prost::alloc::string::String,\s*(.*?),?\s*>$", kind)
        return "%" + (SCALARS[value] if value in SCALARS else resolve(inner[1], place))
    many = "*" if "repeated" in parts else ""
    if first.startswith("bytes"):
        return many + "y"
    if first in SCALARS:
        return many + SCALARS[first]
    assert first == "message", parts
    inner = re.sub(r"^::(core::option::Option|prost::alloc::(vec::Vec|boxed::Box))<\s*(.*?),?\s*>$", r"\3", kind)
    inner = re.sub(r"^::prost::alloc::boxed::Box<\s*(.*?),?\s*>$", r"\1", inner)
    return many + resolve(inner, place)


def resolve(path, place):
    path = path.strip()
    parts = path.split("::")
    up = parts.count("super")
    rest = parts[up:]
    base = list(place[: len(place) - up]) if up else list(place)
    whole = tuple(base + rest[:-1])
    name = called(whole, rest[-1])
    assert name, (path, place, whole)
    return name


def table(client, pb, rows):
    versions = {f"{row[3]}/{row[4]}" if row[3] else row[4] for row in rows if row[5]}
    found = messages(pb, client, versions)
    lines = [
        "# The messages of Kubernetes' protobuf form: the number, the name in JSON and the type of each field.",
        f"# From the clients kubernetes {wheel(client)} (PyPI, OpenAPI of release {version_of(client)}) and k8s-pb "
        f"{pb.name.removeprefix('k8s-pb-')} (crates.io),",
        "# by xtask/src/catalogs/kube.py. Types: s text, b truth, i and l numbers of 32 and 64 bits, d double,",
        "# y bytes; * a list, % a map of names, ^ members that stand in the object itself.",
    ]
    for name, own in found.items():
        lines.append(name)
        lines += [f" {number} {json} {what}" for number, json, what in own]
    return "\n".join(lines) + "\n"


def wheel(client):
    return next(client.glob("kubernetes-*.dist-info")).name.split("-")[1].removesuffix(".dist")


def vectors(client, rows):
    lines = [
        "# Every request of Kubernetes' OpenAPI document, and what the API server takes it for.",
        f"# From the client kubernetes {wheel(client)} (PyPI, OpenAPI of release {version_of(client)}), by "
        "xtask/src/catalogs/kube.py.",
        "# path\tmethod\tverb\tgroup\tversion\tresource\tsubresource\tplace",
    ]
    return "\n".join(lines + ["\t".join(row) for row in rows]) + "\n"


def main():
    client, pb = (pathlib.Path(word) for word in sys.argv[1:3])
    rows = requests(client)
    stale = 0
    for path, text in [(MESSAGES, table(client, pb, rows)), (REQUESTS, vectors(client, rows))]:
        path = pathlib.Path(path)
        if "--check" not in sys.argv:
            path.write_text(text)
        elif path.read_text() != text:
            stale += 1
            print(f"{path} is stale", file=sys.stderr)
    sys.exit(stale)


main()
