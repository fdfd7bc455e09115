#!/usr/bin/env bash
# `make demo`: everything from nothing. Installs what the system lacks, fetches the
# ClickHouse engine, builds, starts an analyzer, replays the last hour of the sample
# household through a collector, and asks about it.
#
# Waits until it is told to stop (Enter or Ctrl-C). With DEMO_EXIT=1 it checks every
# answer instead and ends at once, with status 0 only if all were right.
# Leaves no process and no file behind, but the build and the engine's cache.
set -euo pipefail
cd "$(dirname "$0")/.."

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}
# Plain text where nobody looks at colours.
[[ -t 1 ]] || say() {
    printf '\n%s\n' "$*"
}

deploy/setup.sh --for build
deploy/engine.sh >&2
# Without them the demo works too, and knows less.
deploy/data.sh >&2 || echo "demo: going on without tables of networks" >&2

say "Building (some minutes the first time)"
cargo build --locked --quiet --workspace --bins
bin=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d "${TMPDIR:-/tmp}/iotq-demo.XXXXXX")
analyzer_id=
finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    if [[ -n $analyzer_id ]] && kill -TERM "$analyzer_id" 2>/dev/null; then
        # It flushes and stops ClickHouse; after ten seconds that has failed.
        for _ in {1..100}; do
            kill -0 "$analyzer_id" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$analyzer_id" 2>/dev/null || true
        wait "$analyzer_id" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Ready when /readyz says so; no curl needed.
is_ready() {
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 answer <&3 || true
    exec 3>&-
    [[ $answer == 'HTTP/1.1 200'* ]]
}

say "Starting the analyzer, with ClickHouse inside"
# The scenario's seed and its end: now.
"$bin/iotq-scenario" household --seed 1 --end now --output "$work/hour.pcap" --names "$work/house.names"
ready=
for attempt in 1 2 3 4 5; do
    # Ports that nobody has; should somebody be quicker, others are tried.
    port=$((20000 + RANDOM % 20000))
    http_port=$((port + 1))
    "$bin/iotq-analyzer" serve --data-dir "$work/store" --names "$work/house.names" \
        --listen "127.0.0.1:$port" --http-listen "127.0.0.1:$http_port" >"$work/analyzer.log" 2>&1 &
    analyzer_id=$!
    for _ in {1..600}; do
        if is_ready "$http_port" 2>/dev/null; then
            ready=1
            break 2
        fi
        kill -0 "$analyzer_id" 2>/dev/null || break
        sleep 0.1
    done
    if ! kill -0 "$analyzer_id" 2>/dev/null && [[ $attempt -lt 5 ]] && grep -qi 'in use\|taken' "$work/analyzer.log"; then
        continue
    fi
    break
done
if [[ -z $ready ]]; then
    cat "$work/analyzer.log" >&2
    echo "demo: the analyzer did not start" >&2
    exit 1
fi
url=http://127.0.0.1:$port

say "Replaying the last hour of a household, as its mirror port showed it"
"$bin/iotq-collector" replay "$work/hour.pcap" --name house --analyzer "$url"

export IOTQ_ANALYZER=$url
for question in top-talkers destinations unanswered keepalives; do
    say "\$ iotq $question"
    "$bin/iotq" "$question"
done

if [[ -n ${DEMO_EXIT:-} && ${DEMO_EXIT:-} != 0 ]]; then
    say "Checking the answers"
    "$bin/iotq-demo-check" --iotq "$bin/iotq" --analyzer "$url"
    exit
fi

say "Ask more, from another terminal"
cat <<EOF
    export IOTQ_ANALYZER=$url
    $bin/iotq devices
    $bin/iotq packets --device Kindle
    $bin/iotq timeline --by device --group iot
    $bin/iotq connections --open --group roomba
    $bin/iotq dns --device Kindle
    $bin/iotq tls
    $bin/iotq time-servers
    $bin/iotq first-seen
    $bin/iotq conversations --net 44.230.91.0/24
    $bin/iotq top-talkers --by rate --format json
    $bin/iotq --help
EOF
if [[ -t 0 ]]; then
    say "Enter or Ctrl-C ends it."
    # A signal has to end it too: `read` lets traps run.
    read -r || true
else
    say "Ctrl-C ends it."
    wait "$analyzer_id"
fi
