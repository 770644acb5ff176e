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
# scripts/bench/workloads says what is asked, scripts/bench/load who asks. A workload that a
# server's configuration has no words for is left out for that server.
#
# A POSIX shell, busybox's among them, is enough.
set -eu

usage() {
    cat <<EOT
Usage: scripts/bench.sh [OPTIONS] [LIMPET]

  --quick          less than a minute: $(echo $QUICK), three rounds of 1 s
  --only WORKLOAD  one, or several with commas, of:
                   $(echo $ALL)
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

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/bench/workloads"
. "$here/scripts/bench/load"

rounds=7 seconds=3 limpet= json= load= wanted=$ALL only= quick=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 rounds=3 seconds=1 ;;
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
[ -z "$quick" ] || wanted=$QUICK
[ -z "$only" ] || wanted=$(echo "$only" | tr , ' ')

load=${load:-$(pick_load)}
command -v "$load" >/dev/null || die "$load is not installed"
command -v taskset >/dev/null || die 'taskset is not installed: apt-get install util-linux'
for candidate in "$limpet" "$here/limpet" "$here/target/$(uname -m)-unknown-linux-musl/release/limpet"; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && limpet=$candidate && break
done
[ -x "$limpet" ] || die 'no limpet to measure: run make first'
limpet=$(cd "$(dirname "$limpet")" && pwd)/$(basename "$limpet")

# The load has the first processor, the worker the last one.
cpus=$(grep -c ^processor /proc/cpuinfo)
mask=1
i=1
while [ "$i" -lt "$cpus" ]; do
    mask=${mask}0
    i=$((i + 1))
done

place=$(mktemp -d)
pids=
stop() {
    for pid in $pids; do
        kill -TERM "$pid" 2>/dev/null || :
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$place"
}
trap stop EXIT
trap 'exit 130' INT TERM

# A port that nobody listens on: the kernel's list says so.
free_port() {
    free=$1
    while grep -q ":$(printf '%04X' "$free") 00000000:0000 0A" /proc/net/tcp; do
        free=$((free + 1))
    done
    echo "$free"
}

chmod 755 "$place"
html=$place/html
mkdir "$html"
head -c 1024 /dev/zero | tr '\0' 'x' >"$html/1k.txt"
head -c 102400 /dev/zero | tr '\0' 'x' >"$html/100k.txt"
head -c 1048576 /dev/zero | tr '\0' 'x' >"$html/1m.bin"
head -c 10485760 /dev/zero | tr '\0' 'x' >"$html/10m.bin"
# As a page is: words, of which some come again.
awk 'BEGIN { srand(7); while (length(text) < 20480)
    text = text sprintf("<p class=\"c%d\">word%d and more</p>\n", rand() * 9, rand() * 5000)
    print substr(text, 1, 20480) }' >"$html/20k.txt"

binary_of() {
    if [ "$1" = limpet ]; then echo "$limpet"; else command -v "$1"; fi
}

# What comes before everything else in the configuration of a server.
preamble() {
    module=/usr/lib/nginx/modules/ngx_stream_module.so
    [ "$1" = limpet ] || [ ! -e "$module" ] || echo "load_module $module;"
}

# configuration NAME PORT MAIN HTTP LOCATION...
configuration() {
    cat <<EOT
$(preamble "$1")
daemon off;
user root;
worker_processes 1;
worker_cpu_affinity $mask;
pid $place/$1.pid;
error_log $place/$1.error.log crit;
events { worker_connections 1024; }
http {
    default_type text/plain;
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path $place/$1/body;
    $4
    server {
        listen 127.0.0.1:$2;
        root $html;
        location = /return { return 200 "ok"; }
        location = /sink { return 200 "ok"; }
        $5
    }
}
$3
EOT
}

# accepts NAME FILE: whether the server takes a configuration.
accepts() {
    "$(binary_of "$1")" -t -q -p "$place/$1" -c "$2" >"$place/refused" 2>&1
}

# configure NAME PORT: what the server has words for goes into its configuration; can_NAME is
# the list of those workloads.
configure() {
    state=$place/$1
    mkdir -p "$state"
    stream_port=$(free_port $(($2 + 1000)))
    eval "port_$1=$2 stream_port_$1=$stream_port"
    mains= https= locations= able=
    for it in $wanted; do
        workload "$it"
        configuration "$1" "$2" "$main" "$http" "$location" >"$place/try.conf"
        if accepts "$1" "$place/try.conf"; then
            able="$able $it"
            mains="$mains
$main" https="$https
    $http" locations="$locations
        $location"
        elif [ -z "$main$http$location" ]; then
            die "$1 refuses the plainest configuration: $(cat "$place/refused")"
        fi
    done
    eval "can_$1=\$able"
    configuration "$1" "$2" "$mains" "$https" "$locations" >"$place/$1.conf"
    accepts "$1" "$place/$1.conf" || die "$1: $(cat "$place/refused")"
}

# start NAME
start() {
    "$(binary_of "$1")" -p "$place/$1" -c "$place/$1.conf" 2>"$place/$1.stderr" >/dev/null &
    pids="$pids $!"
    tries=0
    until [ -s "$place/$1.pid" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || die "$1 does not start: $(cat "$place/$1.stderr")"
        sleep 0.1
    done
    master=$(cat "$place/$1.pid")
    sleep 0.3
    worker=
    # Of the children the one without a cache to care for.
    for child in $(cat "/proc/$master/task/$master/children"); do
        if tr '\0' ' ' <"/proc/$child/cmdline" | grep -q 'worker process'; then worker=$child; fi
    done
    [ -n "$worker" ] || die "$1 has no worker: $(cat "$place/$1.stderr")"
    eval "worker_$1=$worker master_$1=$master"
}

# What the servers pass on to: one that is not measured, beside the load.
start_backend() {
    backend=$(free_port 19080)
    name=backend
    mkdir -p "$place/$name"
    server=limpet
    ! command -v nginx >/dev/null || server=nginx
    mask_of_workers=$mask
    mask=1
    configuration "$name" "$backend" '' '' '' | sed '/^load_module/d' >"$place/$name.conf"
    mask=$mask_of_workers
    "$(binary_of "$server")" -p "$place/$name" -c "$place/$name.conf" 2>"$place/$name.stderr" &
    pids="$pids $!"
}

# Nanoseconds on the processor so far.
cpu_of() {
    set -- $(cat "/proc/$1/schedstat")
    echo "$1"
}

# run NAME SECONDS: the load of the workload in force. Prints the requests answered, requests/s
# and the 99th percentile.
run() {
    eval "target=\$port_$1"
    [ "$port" = http ] || eval "target=\$stream_port_$1"
    "ask_$load" "$2" "http://127.0.0.1:$target$uri" || die "$load with $1: $(cat "$place/said")"
    set -- "$1" $("told_$load")
    [ "$2" -gt 0 ] || die "no answers from $1: $(cat "$place/said")"
    [ "$4" -eq 0 ] || die "errors with $1: $(cat "$place/said")"
    right=0
    [ "$expect" -lt 400 ] || right=$2
    [ "$3" -eq "$right" ] || die "wrong statuses from $1: $(cat "$place/said")"
    echo "$2 $5 $6"
}

# measure NAME: prints µs of processor time for each request, requests/s, 99th percentile.
measure() {
    eval "worker=\$worker_$1"
    before=$(cpu_of "$worker")
    answered=$(run "$1" "$seconds") || exit 1
    after=$(cpu_of "$worker")
    set -- $answered
    awk -v ns=$((after - before)) -v n="$1" -v rate="$2" -v p99="$3" \
        'BEGIN { printf "%.3f %s %s\n", ns / n / 1000, rate, p99 }'
}

# calls NAME: prints the system calls of a request.
calls() {
    eval "worker=\$worker_$1"
    strace -c -f -o "$place/calls" -p "$worker" 2>"$place/strace" &
    tracer=$!
    sleep 0.3
    answered=$(run "$1" 1) || exit 1
    kill -INT "$tracer" 2>/dev/null || :
    wait "$tracer" 2>/dev/null || :
    set -- $answered
    awk -v n="$1" '$NF == "total" { for (i = 1; i <= 4; i++) if ($i ~ /^[0-9]+$/) calls = $i
        if (calls) printf "%.2f", calls / n }' "$place/calls"
}

# of COLUMN FILE: the median of a column, its least and greatest.
of() {
    awk -v c="$1" '{ print $c }' "$2" | sort -n | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%s %s %s", m, v[1], v[NR] }'
}

# Milliseconds since some time, as well as the system's date can tell.
now() {
    ns=$(date +%s%N)
    case $ns in
    *N) awk '{ printf "%.0f", $1 * 1000 }' /proc/uptime ;;
    *) echo $((ns / 1000000)) ;;
    esac
}

# until COMMAND...: waits for it to succeed, but not for ever.
until_it() {
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.02
    done
}

gone() {
    ! kill -0 "$1"
}

# starts NAME: ms of a start into the background, the mean of several. It returns when limpet
# serves, and when nginx listens.
starts() {
    sed -e 's/^daemon off;/daemon on;/' -e "s|^pid .*|pid $place/again.pid;|" \
        -e "s/127.0.0.1:[0-9]*;/127.0.0.1:$(free_port 18900);/" "$place/plain_$1.conf" \
        >"$place/again.conf"
    total=0
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        rm -f "$place/again.pid"
        before=$(now)
        "$(binary_of "$1")" -p "$place/$1" -c "$place/again.conf" >/dev/null 2>&1 || die "$1: no start"
        total=$((total + $(now) - before))
        # nginx writes it later, when it is in the background.
        until_it test -s "$place/again.pid" || die "$1: no pid file"
        pid=$(cat "$place/again.pid")
        kill -TERM "$pid"
        until_it gone "$pid" || kill -KILL "$pid"
    done
    awk -v ms="$total" -v turns="$turn" 'BEGIN { printf "%.1f", ms / turns }'
}

# memory NAME: KiB of the master and the worker together, each page shared by their number.
memory() {
    eval "pair=\"\$master_$1 \$worker_$1\""
    for pid in $pair; do
        cat "/proc/$pid/smaps_rollup" 2>/dev/null || echo 'Pss: 0'
    done | awk '$1 == "Pss:" { kib += $2 } END { print kib }'
}

servers=limpet
for other in nginx freenginx angie openresty tengine; do
    ! command -v "$other" >/dev/null || servers="$servers $other"
done
[ "$servers" != limpet ] || note 'no nginx is installed, limpet is measured alone'
traced=
if [ -z "$quick" ] && command -v strace >/dev/null; then traced=1; fi
[ -n "$traced" ] || [ -n "$quick" ] || note 'strace is not installed: system calls are not counted'

start_backend
first=18080
for server in $servers; do
    own=$(free_port "$first")
    configuration "$server" "$own" '' '' '' >"$place/plain_$server.conf"
    configure "$server" "$own"
    start "$server"
    eval "fresh_$server=\$(memory $server)"
    first=$((own + 1))
done

# has NAME WORKLOAD
has() {
    eval "list=\" \$can_$1 \""
    case $list in *" $2 "*) ;; *) return 1 ;; esac
}

# row NAME WORKLOAD: prints a server's figures of a workload, in columns or as JSON.
row() {
    file=$place/$1.$2
    set -- "$1" "$2" $(of 1 "$file") $(of 2 "$file") $(of 3 "$file")
    counted=-
    [ ! -s "$place/calls.$1.$2" ] || counted=$(cat "$place/calls.$1.$2")
    eval "us_$1=$3"
    [ "$1" != limpet ] || ratio=
    if [ "$1" = nginx ] && [ -n "${us_limpet:-}" ]; then
        ratio=$(awk -v a="$3" -v b="$us_limpet" 'BEGIN { printf "%.2f", a / b }')
    fi
    if [ -n "$json" ]; then
        printf '%s{"server":"%s","us":%s,"us_least":%s,"us_greatest":%s,"requests_per_s":%s' \
            "$comma" "$1" "$3" "$4" "$5" "$6"
        [ "$9" = - ] || printf ',"p99_us":%s' "$9"
        [ "$counted" = - ] || printf ',"calls":%s' "$counted"
        printf '}'
        comma=,
    else
        printf '%-17s %-10s %9.2f  %-17s %9.0f %9s %7s  %s\n' "$2" "$1" "$3" \
            "$(printf '%.2f to %.2f' "$4" "$5")" "$6" "$9" "$counted" "${ratio:-}"
    fi
}

if [ -n "$json" ]; then
    printf '{"rounds":%d,"seconds":%d,"load":"%s","workloads":[' "$rounds" "$seconds" "$load"
else
    echo "µs of processor time for each request: median of $rounds rounds of ${seconds}s, least and greatest"
    printf '%-17s %-10s %9s  %-17s %9s %9s %7s  %s\n' \
        workload server µs '' requests/s 'p99 µs' calls nginx/limpet
fi
between=
for it in $wanted; do
    workload "$it"
    able=
    for server in $servers; do
        if has "$server" "$it" && can_load; then able="$able $server"; fi
    done
    if [ -z "$able" ] || ! has limpet "$it"; then
        note "$it: not with $(can_load && echo "this limpet" || echo "$load")"
        continue
    fi
    for server in $able; do
        : >"$place/$server.$it"
        # Caches are filled, and connections to others are there, before anything counts.
        [ -n "$quick" ] || run "$server" 1 >/dev/null
    done
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for server in $able; do
            measure "$server" >>"$place/$server.$it"
        done
        round=$((round + 1))
    done
    [ -z "$json" ] || printf '%s{"workload":"%s","servers":[' "$between" "$it"
    comma= ratio= us_limpet=
    for server in $able; do
        [ -z "$traced" ] || calls "$server" >"$place/calls.$server.$it"
        row "$server" "$it"
    done
    [ -z "$json" ] || printf ']%s}' "${ratio:+,\"nginx_to_limpet\":$ratio}"
    between=,
done

[ -z "$json" ] || printf '],"servers":['
comma=
for server in $servers; do
    eval "fresh=\$fresh_$server"
    used=$(memory "$server")
    took=$(starts "$server")
    if [ -n "$json" ]; then
        printf '%s{"server":"%s","start_ms":%s,"pss_kib":%s,"pss_kib_after":%s}' \
            "$comma" "$server" "$took" "$fresh" "$used"
        comma=,
    else
        echo "$server: start $took ms, memory $fresh KiB, $used KiB after all of it"
    fi
done
[ -z "$json" ] || printf ']}\n'
