#!/usr/bin/env python3
"""Compares docs/events/asyncapi.yaml with the types of events that the code has, with the schemas and with the golden files. Fails on a
type that one of them lacks, and on a reference that leads nowhere."""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/events"


def of_code():
    """The names in `EventType::name`."""
    text = (ROOT / "src/port/ledger/events.rs").read_text()
    names = re.findall(r'^ +Self::\w+ => "([a-z_.]+)",$', text, re.MULTILINE)
    declared = int(re.search(r"const ALL: \[Self; (\d+)\]", text)[1])
    assert len(names) == declared, f"{len(names)} names of {declared} types"
    return set(names)


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def follow(document, reference):
    if reference.startswith("#/"):
        node = document
        for name in reference[2:].split("/"):
            node = node[name]
        return node
    return json.loads((FOLDER / reference).read_text())


def main():
    document = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0", document["asyncapi"]
    messages = document["components"]["messages"]
    found = {
        "the channel topic": set(document["channels"]["topic"]["messages"]),
        "components.messages": set(messages) - {"webhook"},
        "the schemas": {path.stem for path in FOLDER.glob("*.json")} - {"event"},
        "event.json": set(follow(document, "./event.json")["properties"]["type"]["enum"]),
        "the golden files": {path.stem for path in (ROOT / "tests/golden/events").glob("*.json")},
    }
    code = of_code()
    wrong = [f"{where}: {sorted(names ^ code)}" for where, names in found.items() if names != code]
    for reference in references(document):
        try:
            follow(document, reference)
        except (KeyError, OSError, ValueError) as error:
            wrong.append(f"{reference}: {error!r}")
    for name in code & set(messages):
        message = messages[name]
        if message["name"] != name or follow(document, message["payload"]["schema"]["$ref"])["title"] != name:
            wrong.append(f"the message {name} is that of another type")
    if wrong:
        sys.exit("docs/events/asyncapi.yaml and the code differ:\n" + "\n".join(wrong))
    print(f"{len(code)} types of events")


if __name__ == "__main__":
    main()
