#!/usr/bin/env python3
"""Replays the Dockerfile without a Docker engine, from exactly the files that .dockerignore lets through.

  scripts/image.py           quick: parse the Dockerfile, check that each COPY finds its source, and let cargo read the
                             manifest of the dependency stage; some seconds
  scripts/image.py --full    run the steps, each stage in a copy-on-write view of this machine's root (overlayfs; needs
                             root and Debian), then start the program as the image's user; some minutes

Exits with 1 at the first step that fails. The full mode takes this machine in place of the base images: it proves the
steps, not the bases. Nothing of this machine is changed, except that cargo's download cache grows.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP_SECONDS = 3600
# Instructions that the replay understands; any other one is refused, so that no step is left out silently.
METADATA = {"EXPOSE", "ENTRYPOINT", "CMD", "LABEL", "STOPSIGNAL"}


def fail(message):
    sys.exit(f"image: {message}")


@dataclass
class Stage:
    name: str
    base: str
    steps: list = field(default_factory=list)  # (line number, instruction, arguments)


def instructions(text):
    """The Dockerfile's instructions as (line number, word, arguments), continuation lines joined."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        start = start or number
        if line.endswith("\\"):
            joined += line[:-1]
            continue
        word, _, arguments = (joined + line).strip().partition(" ")
        yield start, word.upper(), arguments.strip()
        joined, start = "", 0
    if joined:
        fail(f"Dockerfile:{start}: the file ends within an instruction")


def stages(text):
    found = []
    for number, word, arguments in instructions(text):
        if word == "FROM":
            match = re.fullmatch(r"(\S+)(?:\s+AS\s+(\S+))?", arguments, re.IGNORECASE)
            if not match:
                fail(f"Dockerfile:{number}: FROM is not understood: {arguments}")
            if not re.search(r":[^:/]*\d+\.\d+|@sha256:[0-9a-f]{64}$", match[1]) and match[1] != "scratch":
                fail(f"Dockerfile:{number}: the base {match[1]} is pinned neither by exact tag nor by digest")
            found.append(Stage(match[2] or str(len(found)), match[1]))
        elif not found:
            fail(f"Dockerfile:{number}: {word} before FROM")
        elif word in METADATA | {"RUN", "COPY", "WORKDIR", "USER", "SHELL", "ENV"}:
            found[-1].steps.append((number, word, arguments))
        else:
            fail(f"Dockerfile:{number}: {word} is not understood by scripts/image.py")
    return found or fail("the Dockerfile has no stage")


def ignore_rules(text):
    """.dockerignore as (pattern as regular expression, is an exception)."""
    rules = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        exception = line.startswith("!")
        pattern = line.lstrip("!").strip("/")
        parts = [".*" if part == "**" else fnmatch.translate(part)[4:-3].replace(".*", "[^/]*") for part in pattern.split("/")]
        rules.append((re.compile("/".join(parts).replace(".*/", "(?:.*/)?") + "(?:/.*)?"), exception))
    return rules


def context(rules):
    """The files of the checkout (committed or new, but not ignored by git) that the engine would get."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        sent = True
        for pattern, exception in rules:
            if pattern.fullmatch(name):
                sent = exception
        if sent and (ROOT / name).is_file():
            yield name


def make_context(folder):
    names = list(context(ignore_rules((ROOT / ".dockerignore").read_text())))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return names


def copy_arguments(number, arguments):
    """(stage or None, sources, destination) of a COPY."""
    words = arguments.split()
    source_stage = None
    while words and words[0].startswith("--"):
        flag = words.pop(0)
        if not flag.startswith("--from="):
            fail(f"Dockerfile:{number}: COPY {flag} is not understood by scripts/image.py")
        source_stage = flag.removeprefix("--from=")
    if len(words) < 2:
        fail(f"Dockerfile:{number}: COPY needs a source and a destination")
    return source_stage, words[:-1], words[-1]


def check_plan(plan, sent):
    """Sources of COPY exist, stages that are named exist, the last stage runs as a numeric user that is not root."""
    known, user = set(), None
    for stage in plan:
        user = None
        for number, word, arguments in stage.steps:
            if word == "USER":
                user = arguments
            if word != "COPY":
                continue
            source_stage, sources, _ = copy_arguments(number, arguments)
            if source_stage is not None:
                if source_stage not in known:
                    fail(f"Dockerfile:{number}: COPY --from={source_stage}: no stage before has this name")
                continue
            for source in sources:
                if not any(fnmatch.fnmatch(name, source) or (name + "/").startswith(source.strip("/") + "/") for name in sent):
                    fail(f"Dockerfile:{number}: COPY {source}: .dockerignore lets no such file through")
        known.add(stage.name)
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user or ""):
        fail(f"the image's USER must be a number other than 0, and is {user}")


def check_manifest(plan, folder):
    """Runs the steps before the first build, and lets cargo read the manifest that they leave, with the code and without."""
    stage = plan[0]
    work = folder.parent / "manifest"
    work.mkdir()
    for _, word, arguments in stage.steps:
        if word == "RUN" and "cargo " in arguments:
            break
        if word == "COPY":
            _, sources, destination = copy_arguments(0, arguments)
            for source in sources:
                place = work / destination
                if destination.endswith("/"):
                    place.mkdir(parents=True, exist_ok=True)
                shutil.copy2(folder / source, place)
        if word == "RUN" and "apt-get" not in arguments:
            subprocess.run(["bash", "-o", "pipefail", "-c", arguments], cwd=work, check=True, timeout=STEP_SECONDS)
    else:
        fail("the first stage never runs cargo")
    # `cargo metadata` says nothing of a target whose file is missing; `cargo build` refuses it.
    manifest = tomllib.loads((work / "Cargo.toml").read_text())
    for kind, place in (("test", "tests"), ("bench", "benches"), ("example", "examples")):
        for target in manifest.get(kind, []):
            fail(f"the manifest of the dependency stage names the {kind} {target['name']}, whose file in {place} is not in the context")
    (work / "src").mkdir()
    (work / "src/main.rs").write_text("fn main() {}\n")
    (work / "src/lib.rs").touch()
    read = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--no-deps"], cwd=work, capture_output=True, text=True, timeout=STEP_SECONDS
    )
    if read.returncode != 0:
        fail(f"cargo refuses the manifest of the dependency stage:\n{read.stderr.strip()}")
    packages = json.loads(read.stdout)["packages"]
    product = next(package for package in packages if package["name"] == manifest["package"]["name"])
    kinds = {kind for target in product["targets"] for kind in target["kind"]}
    if not {"lib", "bin"} <= kinds:
        fail(f"the manifest of the dependency stage has no library or no program: {sorted(kinds)}")


def check_embedded_files(folder):
    """Files that the code compiles in (include_str!, include_bytes!, embed_migrations!) are in the context."""
    for code in sorted((folder / "src").rglob("*.rs")):
        if code.stem == "tests" or "tests" in code.parts:
            continue
        # Tests stand at the end of a file and are not part of the image; comments compile nothing in.
        program = code.read_text().split("#[cfg(test)]\nmod tests {")[0]
        text = "\n".join(line for line in program.splitlines() if not line.lstrip().startswith("//"))
        for named in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', text):
            if not (code.parent / named).exists():
                fail(f"{code.relative_to(folder)} compiles in {named}, which .dockerignore does not let through")
        for named in re.findall(r'embed_migrations!\(\s*"([^"]+)"', text):
            if not (folder / named).is_dir():
                fail(f"{code.relative_to(folder)} compiles in the migrations {named}, which .dockerignore does not let through")


class Replay:
    """The full mode: stages as overlays on this machine's root, in a mount namespace of its own."""

    def __init__(self, folder, scratch):
        self.folder, self.scratch, self.roots = folder, scratch, {}

    def run(self, root, directory, shell, command, user=None):
        as_user = ["setpriv", "--reuid", user[0], "--regid", user[1], "--clear-groups"] if user else []
        done = subprocess.run(["chroot", root, *as_user, *shell, f"cd {directory} && {command}"], timeout=STEP_SECONDS)
        if done.returncode != 0:
            fail(f"the step failed with exit code {done.returncode}: {command}")

    def mount(self, name):
        upper, work, root = (self.scratch / name / part for part in ("upper", "work", "root"))
        for part in (upper, work, root):
            part.mkdir(parents=True)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root], check=True)
        for kernel in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{kernel}", root / kernel], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "tmp"], check=True)
        # The download cache of this machine, as the base image would have one: crates are not fetched twice.
        cache = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry"
        if cache.is_dir():
            subprocess.run(["mount", "--bind", cache, root / cache.relative_to("/")], check=True)
        self.roots[name] = root
        return root

    def copy(self, number, arguments, root, directory):
        source_stage, sources, destination = copy_arguments(number, arguments)
        origin = self.roots[source_stage] if source_stage else self.folder
        target = root / os.path.join(directory, destination).lstrip("/")
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, target, dirs_exist_ok=True)
            elif destination.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, target / found.name)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, target)

    def stage(self, stage):
        root = self.mount(stage.name)
        directory, shell, user, environment = "/", ["/bin/sh", "-c"], None, {}
        for number, word, arguments in stage.steps:
            print(f"image: {stage.name}: {word} {' '.join(arguments.split())}", flush=True)
            if word == "WORKDIR":
                directory = os.path.join(directory, arguments)
                (root / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif word == "SHELL":
                shell = json.loads(arguments)
            elif word == "USER":
                user = (arguments.split(":") * 2)[:2]
            elif word == "ENV":
                environment.update(dict(pair.split("=", 1) for pair in arguments.split()))
            elif word == "COPY":
                self.copy(number, arguments, root, directory)
            elif word == "RUN":
                exports = "".join(f"export {name}={value}; " for name, value in environment.items())
                self.run(root, directory, shell, exports + arguments, user)
        return root, user


def full(plan, folder):
    scratch = Path("/mnt")
    # A file system in memory: the overlay's upper layer may not lie within its lower one.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12g", "tmpfs", scratch], check=True)
    replay = Replay(folder, scratch)
    for stage in plan:
        root, user = replay.stage(stage)
    build = replay.roots.get("build", root)
    for label, file in (
        ("program before it is stripped", build / "build/target/release/flashsale"),
        ("program in the image", root / "usr/local/bin/flashsale"),
        ("its debug file", root / "usr/local/bin/flashsale.debug"),
    ):
        print(f"image: {label}: {file.stat().st_size / 1e6:.1f} MB")
    # `cd /`: the image has no WORKDIR of its own.
    replay.run(root, "/", ["/bin/sh", "-c"], "flashsale --version && flashsale serve --help > /dev/null", user)
    sections = subprocess.run(["readelf", "-SW", root / "usr/local/bin/flashsale"], check=True, capture_output=True, text=True).stdout
    if ".gnu_debuglink" not in sections or ".debug_line" in sections:
        fail("the program in the image has its line tables in it, or does not name its debug file")


def main():
    arguments = sys.argv[1:]
    if arguments not in ([], ["--full"], ["--in-namespace"]):
        print(__doc__)
        sys.exit(0 if arguments in (["-h"], ["--help"]) else 2)
    if arguments == ["--full"]:
        if os.geteuid() != 0:
            fail("the full mode needs root, for overlayfs and chroot")
        # Mounts end with this process.
        os.execvp("unshare", ["unshare", "--mount", sys.executable, __file__, "--in-namespace"])
    plan = stages((ROOT / "Dockerfile").read_text())
    with tempfile.TemporaryDirectory(prefix="flashsale-image-") as temporary:
        folder = Path(temporary) / "context"
        folder.mkdir()
        sent = make_context(folder)
        check_plan(plan, sent)
        check_embedded_files(folder)
        check_manifest(plan, folder)
        print(f"image: {len(plan)} stages, {sum(len(stage.steps) for stage in plan)} steps, {len(sent)} files in the context: the plan holds")
        if arguments == ["--in-namespace"]:
            full(plan, folder)


if __name__ == "__main__":
    main()
