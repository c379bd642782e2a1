#!/usr/bin/env bash
# Runs a check of the manifests, `check.py` or `pod.py PROGRAM`, with the kustomize and the schemas that scripts/tools.sh installs. Says so
# where a check cannot be made: without Go and kubectl nothing renders the manifests, and pod.py needs root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/tools.sh
if command -v go >/dev/null; then
    kustomize=(target/tools/go/kustomize-* build)
elif command -v kubectl >/dev/null; then
    kustomize=(kubectl kustomize)
else
    echo "not checked: deploy/kubernetes, since neither go nor kubectl is installed"
    exit
fi
if [ "$1" = pod.py ] && [ "$(id -u)" != 0 ]; then
    echo "not checked: a pod of deploy/kubernetes, since it takes root to make one"
    exit
fi
export PYTHONPATH=$PWD/target/tools/pypi PYTHONDONTWRITEBYTECODE=1
python3 "scripts/manifests/$1" "${@:2}" "${kustomize[@]}"
