#!/bin/sh
# Resolve every lock file anew, with hashes and one version of each package across the components (`make lock`).
# trainer/ and serving/ each get a byte-identical tensorflow.lock, so that their images share that layer.
# Each lock file is for every Python from 3.11 on, and for x86_64 and aarch64 (tests/soak/test_lock_platforms.py).
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() {
    # Extras are kept: pip 23 looks for the newest `name[extra]` when only `name` is pinned, and has no hash for it.
    uv pip compile --universal --python-version 3.11 --quiet --no-header --no-annotate \
        --generate-hashes --no-emit-index-url --no-strip-extras "$@"
}
version() {
    python3 -c "from stack import versions; print(versions.$1)"
}
tensorflow() {
    printf 'tensorflow==%s\ntensorflow-serving-api==%s\n' "$1" "$1"
}
tensorflow "$(version TENSORFLOW)" > "$work/tensorflow.in"
tensorflow "$(version NEXT_TENSORFLOW)" > "$work/next.in"
echo 'flit-core>=3.11,<4' > "$work/build.in"
sed -E 's/"tensorflow>=/"tensorflow[and-cuda]>=/' trainer/pyproject.toml > "$work/pyproject.toml"
# The images and .venv have the native front and Keras 2.
# The client, which the console asks for, is on no index: its packages are locked instead.
mkdir "$work/console"
sed '/"atelier-client==/d' console/pyproject.toml > "$work/console/pyproject.toml"
compile "$work/pyproject.toml" serving/pyproject.toml client/pyproject.toml "$work/console/pyproject.toml" tests/requirements.in "$work/build.in" \
    --extra fast --extra tf-keras -c "$work/tensorflow.in" -o "$work/all.lock"
sed -E 's/ \\$//; /^ +--hash/d; s/^([a-z0-9-]+)\[[a-z,-]+\]/\1/' "$work/all.lock" > "$work/all.txt"
compile trainer/pyproject.toml "$work/build.in" --extra tf-keras -c "$work/all.txt" -o trainer/requirements.lock
compile client/pyproject.toml "$work/build.in" -c "$work/all.txt" -o client/requirements.lock
compile client/pyproject.toml "$work/console/pyproject.toml" "$work/build.in" -c "$work/all.txt" -o console/requirements.lock
compile serving/pyproject.toml "$work/build.in" --extra fast -c "$work/all.txt" -o serving/requirements.lock
compile "$work/tensorflow.in" -c "$work/all.txt" -o trainer/tensorflow.lock
cp trainer/tensorflow.lock serving/tensorflow.lock
compile "$work/pyproject.toml" "$work/build.in" --extra tf-keras -c "$work/all.txt" -o trainer/requirements-gpu.lock
compile tests/requirements.in -c "$work/all.txt" -o tests/requirements.lock
compile benchmarks/requirements.in -c "$work/all.txt" -o benchmarks/requirements.lock
# The next TensorFlow: all that a development environment has, in one file. What uv finds in the file it writes it keeps
# where it can, so the two sets differ in what that TensorFlow asks for alone.
next="$work/next.lock"
cp "$work/all.lock" "$next"
compile trainer/pyproject.toml serving/pyproject.toml client/pyproject.toml "$work/console/pyproject.toml" tests/requirements.in "$work/build.in" \
    --extra fast --extra tf-keras -c "$work/next.in" -o "$next"
name=$(version NEXT_TENSORFLOW)
rm -f tests/tensorflow-*.lock
cp "$next" "tests/tensorflow-${name%.*}.lock"
# Programs that no one here wrote, for the tests: each in an environment of its own, so with versions of its own.
for name in clients mlserver; do
    compile "tests/foreign/$name.in" -o "tests/foreign/$name.lock"
done
