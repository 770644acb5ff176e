#!/bin/sh
# Measures limpet beside nginx: the same configuration, the same load, in turns.
#
# The load comes from wrk on one processor; the one worker of each server has
# another. What is told is the processor time of the worker for each request, from
# the kernel's own account: requests per second depend on wrk as much as on the
# server. Every answer is checked: an error or a wrong status ends the run.
#
# A POSIX shell, busybox's among them, is enough.
set -eu

usage() {
    cat <<EOF
Usage: scripts/bench.sh [--quick] [--only WORKLOAD] [--rounds N] [--seconds N] [LIMPET]

  --quick          three short rounds
  --only WORKLOAD  one of: $WORKLOADS
  --rounds N       rounds of each workload and server (7)
  --seconds N      length of one run (3)
  LIMPET           the binary (./limpet, else the release build)
EOF
}

WORKLOADS='keepalive close pipelined 404 return 100k log'
rounds=7
seconds=3
limpet=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) rounds=3 seconds=1 ;;
    --only) WORKLOADS=${2:?--only needs a workload} && shift ;;
    --rounds) rounds=${2:?--rounds needs a number} && shift ;;
    --seconds) seconds=${2:?--seconds needs a number} && shift ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) limpet=$1 ;;
    esac
    shift
done

PATH=$PATH:/usr/sbin:/sbin
die() {
    echo "bench.sh: $*" >&2
    exit 1
}
command -v wrk >/dev/null || die 'wrk is not installed: apt-get install wrk'
command -v taskset >/dev/null || die 'taskset is not installed: apt-get install util-linux'
here=$(cd "$(dirname "$0")/.." && pwd)
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

chmod 755 "$place"
mkdir "$place/html"
head -c 1024 /dev/zero | tr '\0' 'x' >"$place/html/1k.txt"
head -c 102400 /dev/zero | tr '\0' 'x' >"$place/html/100k.txt"
cat >"$place/pipelined.lua" <<'EOF'
init = function(args)
    local one = wrk.format(nil, "/1k.txt")
    local all = {}
    for i = 1, 16 do all[i] = one end
    batch = table.concat(all)
end
request = function() return batch end
EOF

# configure NAME PORT
configure() {
    mkdir -p "$place/$1"
    cat >"$place/$1.conf" <<EOF
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
    proxy_temp_path $place/$1/proxy;
    fastcgi_temp_path $place/$1/fastcgi;
    uwsgi_temp_path $place/$1/uwsgi;
    scgi_temp_path $place/$1/scgi;
    server {
        listen 127.0.0.1:$2;
        root $place/html;
        location = /return { return 200 "ok"; }
        location /log/ { alias $place/html/; access_log $place/$1.access.log; }
    }
}
EOF
    # limpet has no use for the temp paths of what it does not do, and says so.
    if [ "$1" = limpet ]; then
        grep -v '_temp_path' "$place/$1.conf" >"$place/conf" && mv "$place/conf" "$place/$1.conf"
    fi
}

# start NAME BINARY PORT
start() {
    "$2" -p "$place/$1" -c "$place/$1.conf" 2>"$place/$1.stderr" &
    pids="$pids $!"
    tries=0
    until [ -s "$place/$1.pid" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || die "$1 does not start: $(cat "$place/$1.stderr")"
        sleep 0.1
    done
    master=$(cat "$place/$1.pid")
    sleep 0.2
    worker=$(cat "/proc/$master/task/$master/children")
    eval "worker_$1=\${worker%% *} port_$1=$3"
}

# A port that nobody listens on: the kernel's list says so.
free_port() {
    port=$1
    while grep -q ":$(printf '%04X' "$port") 00000000:0000 0A" /proc/net/tcp; do
        port=$((port + 1))
    done
    echo "$port"
}

# Nanoseconds on the processor so far.
cpu_of() {
    set -- $(cat "/proc/$1/schedstat")
    echo "$1"
}

# load NAME WORKLOAD: prints µs of processor time per request, and requests/s.
load() {
    eval "worker=\$worker_$1 port=\$port_$1"
    uri=/1k.txt
    set -- "$1" "$2" -t1 -c64 "-d${seconds}s"
    case $2 in
    keepalive) ;;
    close) set -- "$@" -H 'Connection: close' ;;
    pipelined) set -- "$@" -s "$place/pipelined.lua" ;;
    404) uri=/missing ;;
    return) uri=/return ;;
    100k) uri=/100k.txt ;;
    log) uri=/log/1k.txt ;;
    *) die "no workload is called $2 (there are: $WORKLOADS)" ;;
    esac
    name=$1 workload=$2
    shift 2
    before=$(cpu_of "$worker")
    taskset -c 0 wrk "$@" "http://127.0.0.1:$port$uri" >"$place/wrk" 2>&1
    after=$(cpu_of "$worker")
    total=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$place/wrk")
    [ -n "$total" ] && [ "$total" -gt 0 ] || die "no answers from $name: $(cat "$place/wrk")"
    grep -q 'Socket errors' "$place/wrk" && die "errors with $name: $(cat "$place/wrk")"
    wrong=$(sed -n 's/.*Non-2xx or 3xx responses: //p' "$place/wrk")
    case $workload:${wrong:-0} in
    "404:$total" | [!4]*:0 | 100k:0) ;;
    *) die "wrong statuses from $name: $(cat "$place/wrk")" ;;
    esac
    rate=$(sed -n 's/^Requests\/sec: *//p' "$place/wrk")
    awk -v ns=$((after - before)) -v n="$total" -v rate="$rate" \
        'BEGIN { printf "%.3f %.0f\n", ns / n / 1000, rate }'
}

# The median of the first column of a file, with its least and greatest.
median() {
    sort -n "$1" | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%.2f %.2f %.2f", m, v[1], v[NR] }'
}

servers=limpet
port=$(free_port 18080)
configure limpet "$port"
start limpet "$limpet" "$port"
if command -v nginx >/dev/null; then
    port=$(free_port 18180)
    configure nginx "$port"
    start nginx nginx "$port"
    servers='limpet nginx'
else
    echo 'bench.sh: nginx is not installed, limpet is measured alone' >&2
fi

echo "µs of processor time per request: median (least to greatest) of $rounds rounds of ${seconds}s"
printf '%-10s %-26s %-26s %s\n' workload limpet nginx 'nginx / limpet'
for workload in $WORKLOADS; do
    for server in $servers; do
        : >"$place/$server.$workload"
    done
    round=0
    while [ "$round" -lt "$rounds" ]; do
        for server in $servers; do
            load "$server" "$workload" >>"$place/$server.$workload"
        done
        round=$((round + 1))
    done
    set -- $(median "$place/limpet.$workload")
    ours=$1
    row=$(printf '%-10s %-26s' "$workload" "$1 ($2 to $3)")
    if [ "$servers" != limpet ]; then
        set -- $(median "$place/nginx.$workload")
        ratio=$(awk -v a="$1" -v b="$ours" 'BEGIN { printf "%.2f", a / b }')
        row="$row $(printf '%-26s %s' "$1 ($2 to $3)" "$ratio")"
    fi
    echo "$row"
done
