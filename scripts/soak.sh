#!/bin/sh
# Clients of eight kinds ask at once (scripts/soak_clients.py) while the server is reloaded,
# upgraded in place, upgraded with a second master, and loses workers to SIGQUIT. In the end
# nobody may have noticed: no request failed, no idle connection closed, no websocket broken; no
# descriptor of the master leaked, its memory grown by less than 5 %, no old worker left a second
# after each reload unless it still owed a response.
#
# Usage: scripts/soak.sh [BINARY] [RELOADS [IN_PLACE [SECOND_MASTER [QUITS]]]]
#        scripts/soak.sh /usr/sbin/nginx       shows what nginx loses (it has no upgrade in place)
#        SOAK_WITHOUT='websocket post'         leaves out kinds of clients
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$0")
binary=${1:-./limpet}
reloads=${2:-100} in_place=${3:-10} second=${4:-5} quits=${5:-20}
case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
[ -x "$binary" ] || {
    echo "soak.sh: no $binary: run make first" >&2
    exit 1
}
case $binary in *nginx) in_place=0 ;; esac
place=$(mktemp -d)
chmod 755 "$place"
clients= failed=0

finish() {
    [ -z "$clients" ] || kill "$clients" 2>/dev/null || :
    [ ! -f "$place/pid" ] || kill "$(cat "$place/pid")" 2>/dev/null || :
    rm -rf "$place"
}
trap finish EXIT
trap 'exit 1' INT TERM

complain() {
    echo "soak.sh: $*"
    failed=1
}

port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(port) upstream=$(port)

dd if=/dev/zero of="$place/large" bs=1048576 count=4 2>/dev/null
printf text >"$place/text"

configure() {
    cat >"$place/conf" <<EOT
$1 worker_processes 4; pid $place/pid; error_log $place/error.log notice;
events { worker_connections 1024; }
http {
    access_log off; keepalive_timeout 300s; keepalive_requests 1000000; root $place;
    map \$http_upgrade \$upgrade { default upgrade; '' close; }
    server {
        listen 127.0.0.1:$port;
        location / { }
        location /up { proxy_pass http://127.0.0.1:$upstream; proxy_http_version 1.1; }
        location /ws {
            proxy_pass http://127.0.0.1:$upstream; proxy_http_version 1.1;
            proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection \$upgrade;
            proxy_read_timeout 300s;
        }
    }
}
EOT
}

# Fractions of a second: a shell that has only whole ones waits longer.
nap() { sleep "$1" 2>/dev/null || sleep 1; }

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        nap 0.05
    done
}

master() { cat "$place/pid" 2>/dev/null; }
children() { ps -o pid= --ppid "$1" 2>/dev/null | tr -d ' '; }
# A zombie whose parent takes its time does not live.
lives() { case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) return 1 ;; esac; }
none_lives() { for pid in $1; do if lives "$pid"; then return 1; fi; done; }
living() { for pid in $1; do if lives "$pid"; then printf ' %s' "$pid"; fi; done; }
# Workers of the master that are none of these.
others() { for pid in $(children "$(master)"); do case " $1 " in *" $pid "*) ;; *) echo "$pid" ;; esac; done; }
new_workers() { [ "$(others "$1" | wc -l)" -ge 4 ]; }
is_settled() { [ "$(children "$(master)" | wc -l)" = 4 ]; }
serves() { python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null; }
fds() { ls "/proc/$1/fd" | wc -l; }
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# Who is still there a second after its successors came, owes an answer: a slow body, a download.
reload() {
    old=$(children "$(master)" | tr '\n' ' ')
    kill -HUP "$(master)"
    wait_for 20 new_workers "$old" || complain "no new workers"
    wait_for 1 none_lives "$old" || late=$((late + 1))
    wait_for 5 none_lives "$old" || complain "old workers are left:$(living "$old")"
}

upgrade_in_place() {
    "$binary" -p "$place/" -c "$place/conf" -s upgrade || complain 'an upgrade in place failed'
}

upgrade_with_second_master() {
    old=$(master)
    kill -USR2 "$old"
    wait_for 20 is_other_master "$old" || complain 'no second master'
    wait_for 20 new_workers '' || complain 'the second master has no workers'
    kill -QUIT "$old"
    wait_for 10 none_lives "$old" || complain 'the old master is left'
}
is_other_master() { [ -n "$(master)" ] && [ "$(master)" != "$1" ]; }

lose_worker() {
    worker=$(children "$(master)" | sort -R | head -n 1)
    kill -QUIT "$worker" 2>/dev/null || return 0
    wait_for 5 none_lives "$worker" || complain "worker $worker does not leave"
    wait_for 5 new_workers "$worker" || complain 'nobody replaced a worker'
}

start_clients() {
    python3 "$here/soak_clients.py" "$port" "$upstream" "${SOAK_CLIENTS:-4}" >"$place/report" &
    clients=$!
    wait_for 20 serves "$upstream" || complain 'no clients'
    nap 0.5
}

stop_clients() {
    kill "$clients"
    wait "$clients" || failed=1
    clients=
    cat "$place/report"
}

echo "== $binary in the foreground: $reloads reloads, $quits workers lost, $in_place upgrades in place"
configure 'daemon off;'
"$binary" -p "$place/" -c "$place/conf" 2>"$place/stderr" &
wait_for 10 serves "$port" || complain 'it does not start'
start_clients
late=0
for _ in 1 2 3; do reload; done
wait_for 5 is_settled || complain 'there are not four workers'
late=0
before_fds=$(fds "$(master)") before_rss=$(rss "$(master)") round=0
while [ $round -lt "$reloads" ]; do
    round=$((round + 1))
    reload
    [ $((round * quits / reloads)) = $(((round - 1) * quits / reloads)) ] || lose_worker
    [ $((round * in_place / reloads)) = $(((round - 1) * in_place / reloads)) ] || upgrade_in_place
done
wait_for 5 is_settled || complain 'there are not four workers'
after_fds=$(fds "$(master)") after_rss=$(rss "$(master)")
echo "master: $before_fds -> $after_fds descriptors, $before_rss -> $after_rss kB; $late of $reloads reloads left an old worker for more than 1 s"
[ "$after_fds" -le "$before_fds" ] || complain 'descriptors leaked'
[ $((after_rss * 100)) -le $((before_rss * 105)) ] || complain 'memory grew'
stop_clients
kill -QUIT "$(master)"
wait_for 10 eval '[ ! -f "$place/pid" ]' || complain 'it does not stop'

if [ "$second" -gt 0 ]; then
    echo "== as a daemon: $second upgrades with a second master"
    configure 'daemon on;'
    "$binary" -p "$place/" -c "$place/conf"
    wait_for 10 serves "$port" || complain 'it does not start'
    start_clients
    round=0
    while [ $round -lt "$second" ]; do
        round=$((round + 1))
        upgrade_with_second_master
        nap 1
    done
    stop_clients
fi
grep -E '\[(alert|emerg|crit)\]' "$place/error.log" | head -n 20 || :
[ $failed = 0 ] && echo 'soak.sh: nobody noticed' || { echo 'soak.sh: see above'; exit 1; }
