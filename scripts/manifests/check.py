#!/usr/bin/env python3
"""Checks the manifests of deploy/kubernetes: each overlay is rendered, validated against the schemas of the oldest and the newest Kubernetes
that are supported, and held against rules.py; then each planted error of planted.py has to be found.

Usage: check.py KUSTOMIZE... (the program that renders a folder, as `kustomize build` or `kubectl kustomize`)
"""

import subprocess
import sys

import kubernetes_validate
import yaml

import facts
import planted
import rules

VERSIONS = ["1.30", "1.37"]
OVERLAYS = facts.ROOT / "deploy/kubernetes/overlays"


def render(folder):
    command = [*sys.argv[1:], str(folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if rendered.returncode != 0:
        sys.exit(f"manifests: {' '.join(command)}: {rendered.stderr}")
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


def schema(documents):
    for document in documents:
        name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: Kubernetes {version}: {error.message} at {'/'.join(map(str, error.path))}"
            except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
                yield f"{name}: Kubernetes {version}: {error}"


def main():
    known = facts.read()
    breaches = []
    overlays = sorted(path for path in OVERLAYS.iterdir() if path.is_dir())
    rendered = {overlay.name: render(overlay) for overlay in overlays}
    for name, documents in rendered.items():
        for rule in rules.RULES:
            breaches += [f"{name}: {breach}" for breach in rule(documents, known)]
        breaches += [f"{name}: {breach}" for breach in schema(documents)]
    by_name = {rule.__name__: rule for rule in rules.RULES}

    def find(documents, rule):
        return list(schema(documents) if rule == "schema" else by_name[rule](documents, known))

    if not breaches:
        breaches += [f"planted: {missed}" for missed in planted.not_found(rendered["production"], find)]
        unplanted = set(by_name) - {rule for rule, _, _ in planted.PLANTED}
        breaches += [f"planted: no error for {rule}" for rule in sorted(unplanted)]
    for breach in breaches:
        print(f"manifests: {breach}", file=sys.stderr)
    count = sum(len(documents) for documents in rendered.values())
    print(f"{count} objects of {len(rendered)} overlays, Kubernetes {' and '.join(VERSIONS)}; {len(planted.PLANTED)} planted errors")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
