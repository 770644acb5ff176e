#!/bin/sh
# Measures limpet beside nginx, and beside every other server here that reads an nginx.conf:
# the same configuration, the same load, in turns.
#
# The load has one processor, the one worker of each server another. What counts is the
# worker's processor time for each request, from the kernel's own account of it: requests per
# second depend on the load generator as much as on the server. Rounds of the servers take
# turns, so that what else happens on the machine hits all of them; figures are medians, with
# the least and the greatest. Every answer is checked: an error or a wrong status ends the run.
#
# scripts/bench/workloads says what is asked, scripts/bench/load who asks, scripts/bench/servers
# who answers, and scripts/bench/life what a start, a reload and a stop take. A workload that a
# server's configuration has no words for is left out for that server.
#
# A POSIX shell, busybox's among them, is enough.
# shellcheck disable=SC2154 # what the other files set, and what eval does
set -eu

usage() {
    cat <<EOT
Usage: scripts/bench.sh [OPTIONS] [LIMPET]

  --quick          less than a minute: three rounds of 0.3 s, fewer where the machine
                   is too busy for them, and system calls are not counted
  --only WORKLOAD  one, or several with commas, of:
$(echo "$ALL" | sed 's/^/                   /')
  --rounds N       rounds of each workload and server (7)
  --seconds N      length of one run (3)
  --load PROGRAM   wrk, h2load or ab (the first that is installed)
  --json           the figures as JSON
  LIMPET           the binary (./limpet, else the release build)
EOT
}

die() {
    echo "bench.sh: $*" >&2
    exit 1
}

note() {
    echo "bench.sh: $*" >&2
}

# Microseconds since some time, as well as the system's date can tell.
now() {
    ns=$(date +%s%N)
    case $ns in
    *[!0-9]* | ??????????) awk '{ printf "%.0f", $1 * 1000000 }' /proc/uptime ;;
    *) echo $((ns / 1000)) ;;
    esac
}

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/bench/workloads"
. "$here/scripts/bench/load"
. "$here/scripts/bench/servers"
. "$here/scripts/bench/life"

began=$(now)
rounds=7 seconds=3 turns=10 limpet='' json='' load='' only='' quick=''
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 rounds=3 seconds=0.3 turns=3 ;;
    --only) only=${2:?--only needs a workload} && shift ;;
    --rounds) rounds=${2:?--rounds needs a number} && shift ;;
    --seconds) seconds=${2:?--seconds needs a number} && shift ;;
    --load) load=${2:?--load needs a program} && shift ;;
    --json) json=1 ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) limpet=$1 ;;
    esac
    shift
done
case $rounds in '' | 0 | *[!0-9]*) die "--rounds $rounds: that is no number of rounds" ;; esac
case $seconds in '' | 0 | .* | *. | *[!0-9.]* | *.*.*) die "--seconds $seconds: that is no time" ;; esac

wanted=$(echo "${only:-$ALL}" | tr ',\n' '  ')
for it in $wanted; do
    known "$it" || die "no workload is called $it (there are: $ALL)"
done
load=${load:-$(pick_load)}
package=$(package_of "$load")
command -v "$load" >/dev/null || die "$load is not installed: apt-get install $package"
command -v taskset >/dev/null || die 'taskset is not installed: apt-get install util-linux'
[ -z "$limpet" ] || [ -x "$limpet" ] || die "$limpet is not to be executed"
built=${CARGO_TARGET_DIR:-$here/target}/$(uname -m)-unknown-linux-musl/release/limpet
for candidate in "$limpet" "$here/limpet" "$built"; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && limpet=$candidate && break
done
[ -n "$limpet" ] || die 'no limpet to measure: run make first'
limpet=$(cd "$(dirname "$limpet")" && pwd)/$(basename "$limpet")

place=$(mktemp -d)
pids='' life='' asking='' checked=''
stop() {
    trap '' INT TERM HUP
    for pid in $asking $life $pids; do
        kill -TERM "$pid" 2>/dev/null || :
    done
    for pid in $life $pids; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$place"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

chmod 755 "$place"
html=$place/html
mkdir "$html"
for size in 1k:1024 100k:102400 1m:1048576 10m:10485760; do
    head -c "${size#*:}" /dev/zero | tr '\0' 'x' >"$html/${size%:*}.txt"
done
# As a page is: words, of which some come again.
awk 'BEGIN { srand(7); while (length(text) < 20480)
    text = text sprintf("<p class=\"c%d\">word%d and more</p>\n", rand() * 9, rand() * 5000)
    print substr(text, 1, 20480) }' >"$html/20k.txt"

# run NAME SECONDS: the load of the workload in force. Prints the requests answered, requests/s
# and the 99th percentile; nothing if none was answered in time.
run() {
    eval "target=\$port_$1"
    [ "$port" = http ] || eval "target=\$stream_port_$1"
    "ask_$load" "$2" "http://127.0.0.1:$target$uri" || die "$load with $1: $(cat "$place/said")"
    # shellcheck disable=SC2046 # several words
    set -- "$1" $("told_$load")
    [ "$4" -eq 0 ] || die "$4 errors with $1: $(cat "$place/said")"
    right=0
    [ "$expect" -lt 400 ] || right=$2
    [ "$3" -eq "$right" ] || die "wrong statuses from $1: $3 of $2 are not 2xx: $(cat "$place/said")"
    [ "$2" -eq 0 ] || echo "$2 $5 $6"
}

# measure NAME: prints µs of processor time for each request, requests/s, 99th percentile.
measure() {
    eval "worker=\$worker_$1"
    # On a busy machine a short run may end before the first answer.
    for length in "$time" "$(whole "$time")" 5; do
        before=$(cpu_of "$worker") || die "the worker of $1 has died"
        answered=$(run "$1" "$length") || exit 1
        after=$(cpu_of "$worker") || die "the worker of $1 has died"
        [ -z "$answered" ] || break
    done
    [ -n "$answered" ] || die "no answers from $1: $(cat "$place/said")"
    # shellcheck disable=SC2086 # several words
    set -- $answered
    awk -v ns=$((after - before)) -v n="$1" -v rate="$2" -v p99="$3" \
        'BEGIN { printf "%.3f %s %s\n", ns / n / 1000, rate, p99 }'
}

# calls NAME: prints the system calls of a request.
calls() {
    eval "worker=\$worker_$1"
    strace -c -f -o "$place/calls" -p "$worker" 2>"$place/strace" &
    tracer=$!
    if ! until_it grep -q attached "$place/strace"; then
        note "strace: $(cat "$place/strace")"
        wait "$tracer" || :
        return
    fi
    answered=$(run "$1" 1) || exit 1
    kill -INT "$tracer" 2>/dev/null || :
    wait "$tracer" 2>/dev/null || :
    # shellcheck disable=SC2086 # several words
    set -- $answered
    awk -v n="$1" '$NF == "total" { for (i = 1; i <= 4; i++) if ($i ~ /^[0-9]+$/) calls = $i
        if (calls) printf "%.2f", calls / n }' "$place/calls"
}

# of COLUMN FILE: the median of a column, its least and greatest; - for what nobody told.
of() {
    awk -v c="$1" '$c != "-" { print $c }' "$2" | sort -n | awk '{ v[NR] = $1 } END {
        if (!NR) v[NR = 1] = "-"
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%s %s %s", m, v[1], v[NR] }'
}

# figures NAME COLUMN FILE: the same as members of a JSON object.
figures() {
    # shellcheck disable=SC2046 # three words
    set -- "$1" $(of "$2" "$3")
    printf ',"%s":%s,"%s_least":%s,"%s_greatest":%s' "$1" "$2" "$1" "$3" "$1" "$4"
}

# row NAME WORKLOAD: prints a server's figures of a workload, in columns or as JSON.
row() {
    file=$place/$1.$2
    counted=-
    [ ! -s "$place/calls.$1.$2" ] || counted=$(cat "$place/calls.$1.$2")
    # shellcheck disable=SC2046 # several words
    set -- "$1" "$2" $(of 1 "$file") $(of 2 "$file") $(of 3 "$file")
    [ "$1" != limpet ] || own=$3
    [ "$1" != nginx ] || ratio=$(awk -v a="$3" -v b="$own" 'BEGIN { if (b > 0) printf "%.2f", a / b }')
    if [ -n "$json" ]; then
        printf '%s{"server":"%s","rounds":%d' "$comma" "$1" "$(wc -l <"$file")"
        figures us 1 "$file"
        figures requests_per_s 2 "$file"
        [ "$9" = - ] || figures p99_us 3 "$file"
        [ "$counted" = - ] || printf ',"calls":%s' "$counted"
        printf '}'
        comma=,
    else
        printf '%-17s %-10s %9.2f  %-17s %9.0f %9s %7s  %s\n' "$2" "$1" "$3" \
            "$(printf '%.2f to %.2f' "$4" "$5")" "$6" "$9" "$counted" "$ratio"
    fi
}

# rounds_of WORKLOAD: measures the servers in $able in turns, as often as the time allows.
rounds_of() {
    # A workload's part of what is left of the time.
    [ -z "$quick" ] || due=$(($(now) + (end - $(now)) / left))
    for server in $able; do
        : >"$place/$server.$1"
        # Caches are filled, and connections to others are there, before anything counts.
        checked=1
        run "$server" "$warm" >/dev/null
        checked=
    done
    round=0
    while [ "$round" -lt "$rounds" ]; do
        [ -z "$quick" ] || [ "$round" = 0 ] || [ "$(now)" -lt "$due" ] || break
        for server in $able; do
            measure "$server" >>"$place/$server.$1"
        done
        round=$((round + 1))
    done
    [ "$round" = "$rounds" ] || short=1
}

servers=limpet
for other in nginx freenginx angie openresty tengine; do
    ! command -v "$other" >/dev/null || servers="$servers $other"
done
[ "$servers" != limpet ] || note 'no nginx is installed, limpet is measured alone: apt-get install nginx'
traced=
if [ -z "$quick" ] && command -v strace >/dev/null; then traced=1; fi
[ -n "$traced$quick" ] || note 'system calls are not counted: apt-get install strace'

start_backend
first=18080
for server in $servers; do
    arrange "$server" "$(free_port "$first")"
    eval "first=\$((port_$server + 1))"
done

if [ -n "$json" ]; then
    printf '{"seconds":%s,"load":"%s","processors":%d,"workloads":[' "$seconds" "$load" "$cpus"
else
    echo "µs of processor time for each request: median of $rounds rounds of $seconds s, least and greatest"
    printf '%-17s %-10s %9s  %-17s %9s %9s %7s  %s\n' \
        workload server µs '' requests/s 'p99 µs' calls nginx/limpet
fi
# What is not for rounds is for the last of them, which is not cut, for starts and stops.
end=$((began + 40000000)) left=$(echo "$wanted" | wc -w) between='' short=''
warm=1
[ -z "$quick" ] || warm=0.1
for it in $wanted; do
    workload "$it"
    able=
    for server in $servers; do
        if has "$server" "$it" && can_load; then able="$able $server"; fi
    done
    if [ -z "$able" ] || ! has limpet "$it"; then
        note "$it: not with $(can_load && echo "this limpet" || echo "$load")"
        left=$((left - 1))
        continue
    fi
    rounds_of "$it"
    left=$((left - 1))
    [ -z "$json" ] || printf '%s{"workload":"%s","servers":[' "$between" "$it"
    comma='' ratio='' own=''
    for server in $able; do
        [ -z "$traced" ] || calls "$server" >"$place/calls.$server.$it"
        row "$server" "$it"
    done
    [ -z "$json" ] || printf ']%s}' "${ratio:+,\"nginx_to_limpet\":$ratio}"
    between=,
done
[ -z "$short" ] || note "the machine was too busy for $rounds rounds of everything"

case $(date +%N) in
*[!0-9]* | '') note "this date tells hundredths of a second: so coarse are starts, reloads and stops" ;;
esac
if [ -n "$json" ]; then
    printf '],"servers":['
else
    echo "ms of a start, a reload and a stop: median of $turns, least and greatest; KiB of memory"
    printf '%-10s %-22s %-22s %-22s %7s  %s\n' server start reload stop fresh 'after all of it'
fi
comma=
for server in $servers; do
    life_of "$server"
done
[ -z "$json" ] || printf ']}\n'
