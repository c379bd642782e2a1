"""What the manifests have to agree with: settings, the Dockerfile, the names of subcommands."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Facts:
    """Of the program and its image."""

    defaults: dict[str, str]  # every variable with the default of its setting
    secrets: set[str]  # variables that can be read from a file, without _FILE
    user: int
    group: int
    ports: set[int]
    commands: set[str]

    def is_setting(self, name):
        return name in self.defaults or (name.endswith("_FILE") and name.removesuffix("_FILE") in self.secrets)


def read():
    """From docs/CONFIGURATION.md, which is generated from config/default.toml; the Dockerfile; src/commands."""
    defaults, secrets = {}, set()
    for line in (ROOT / "docs/CONFIGURATION.md").read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) < 5 or not cells[1].startswith("`"):
            continue
        for name, star in re.findall(r"`([A-Z0-9_]+)`(\\\*)?", cells[1]):
            defaults[name] = cells[3].strip("`")
            if star:
                secrets.add(name)
    dockerfile = (ROOT / "Dockerfile").read_text()
    user, group = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE).groups()
    ports = {int(port) for port in re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)}
    commands = {path.stem.replace("_", "-") for path in (ROOT / "src/commands").glob("*.rs")}
    if len(defaults) < 80 or "JWT_SECRET" not in secrets or not ports or "serve" not in commands:
        raise SystemExit("manifests: docs/CONFIGURATION.md, the Dockerfile or src/commands is not understood any more")
    return Facts(defaults, secrets, int(user), int(group), ports, commands)
