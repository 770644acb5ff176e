#!/bin/sh
# Prints the times and sizes worth knowing of a server's life, as medians with the least
# and the greatest: of limpet and, where it is installed, of nginx.
#
#   first byte   from exec to the first byte of an answer
#   stop         from TERM to the end of the master
#   reload       from HUP to an answer of the new configuration
#   replaced     from the death of a worker to an answer of its successor
#   PSS fresh    of the master and one worker together that nobody has asked for anything
#   PSS          the same once they have answered
#
# Usage: scripts/figures.sh [LIMPET] [ROUNDS]
set -eu
PATH=$PATH:/usr/sbin:/sbin
limpet=${1:-./limpet}
rounds=${2:-11}
[ -x "$limpet" ] || {
    echo "figures.sh: no $limpet: run make first" >&2
    exit 1
}
command -v python3 >/dev/null || {
    echo 'figures.sh: python3 is not installed' >&2
    exit 1
}
place=$(mktemp -d)
chmod 755 "$place"
trap 'rm -rf "$place"' EXIT

# A shell cannot measure milliseconds: its own commands take as long.
exec_figures() {
    python3 - "$@" <<'EOT'
import os, signal, socket, statistics, subprocess, sys, time

place, rounds, name, binary = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
pid_file, config = f"{place}/{name}.pid", f"{place}/{name}.conf"

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

port = free_port()

def configure(text):
    with open(config, "w") as file:
        file.write(f"""daemon off; worker_processes 1; pid {pid_file};
error_log {place}/{name}.log crit;
events {{ worker_connections 512; }}
http {{ access_log off; server {{ listen 127.0.0.1:{port};
    location / {{ return 200 {text}; }} }} }}""")

def ask():
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := client.recv(4096):
            answer += piece
        return answer.rpartition(b"\r\n\r\n")[2].decode()

def until(happened, what):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if happened():
                return
        except OSError:
            pass
        time.sleep(0.0001)
    sys.exit(f"figures.sh: {name}: {what} does not come")

def worker(master):
    with open(f"/proc/{master}/task/{master}/children") as file:
        return [int(pid) for pid in file.read().split()]

def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))

names = ["first byte", "stop", "reload", "replaced", "PSS fresh", "PSS"]
figures = {name: [] for name in names}
for turn in range(rounds):
    configure("one")
    server = subprocess.Popen([binary, "-p", place, "-c", config], stderr=subprocess.DEVNULL)
    until(lambda: len(worker(server.pid)) == 1, "a worker")
    # nothing tells from outside that it is ready, but by asking
    time.sleep(0.2)
    figures["PSS fresh"].append((pss(server.pid) + pss(worker(server.pid)[0])) / 1024)
    server.terminate()
    server.wait()
    configure("one")
    began = time.monotonic()
    server = subprocess.Popen([binary, "-p", place, "-c", config], stderr=subprocess.DEVNULL)
    until(lambda: ask() == "one", "the first answer")
    figures["first byte"].append((time.monotonic() - began) * 1000)
    until(lambda: len(worker(server.pid)) == 1, "a worker")
    # an idle pair, before anything else has happened to it
    time.sleep(0.1)
    figures["PSS"].append((pss(server.pid) + pss(worker(server.pid)[0])) / 1024)
    configure("two")
    began = time.monotonic()
    server.send_signal(signal.SIGHUP)
    until(lambda: ask() == "two", "the new configuration")
    figures["reload"].append((time.monotonic() - began) * 1000)
    until(lambda: len(worker(server.pid)) == 1, "the end of the old worker")
    began = time.monotonic()
    os.kill(worker(server.pid)[0], signal.SIGKILL)
    ask()
    figures["replaced"].append((time.monotonic() - began) * 1000)
    time.sleep(0.05)
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.wait()
    figures["stop"].append((time.monotonic() - began) * 1000)

for figure, values in figures.items():
    unit = "MiB" if figure.startswith("PSS") else "ms"
    print(f"{name:8} {figure:12} {statistics.median(values):8.2f} {unit:4}"
          f" ({min(values):.2f} to {max(values):.2f})")
EOT
}

exec_figures "$place" "$rounds" limpet "$limpet"
if command -v nginx >/dev/null; then
    exec_figures "$place" "$rounds" nginx "$(command -v nginx)"
else
    echo 'figures.sh: nginx is not installed, limpet is measured alone' >&2
fi
