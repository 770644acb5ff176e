//! scripts/bench.sh: what it measures with, what it refuses to measure, and what it leaves
//! behind. Load generators of a few lines stand in for real ones where it is their word that
//! counts.
use crate::common::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// For a round of everything on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(90);

/// What wrk tells: requests, errors of the sockets, wrong statuses, requests/s.
fn wrk_tells(place: &Place, requests: u32, more: &str, rates: &str) {
    let script = format!(
        "#!/bin/sh
        turn=$(cat {turn} 2>/dev/null || echo 0)
        echo $((turn + 1)) >{turn}
        set -- {rates}
        [ $turn -lt $# ] || turn=$(($# - 1))
        shift $turn
        echo '     99%    2.50ms'
        echo '  {requests} requests in 1.00s, 2MB read'
        {more}
        echo \"Requests/sec: $1\"",
        turn = place.path("turn").display(),
    );
    let script = place.write("wrk", script);
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    place.write("bin/is-there", "");
    copy_program(&script, &place.path("bin/wrk"));
}

/// busybox's applets are all that there is, and what has been put beside them.
fn bench(place: &Place, arguments: &[&str]) -> Option<Output> {
    let Some(busybox) = program("busybox").filter(|_| !drives_nginx()) else {
        skip("needs limpet and busybox");
        return None;
    };
    place.write("bin/is-there", "");
    let list = Command::new(&busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(list.stdout).unwrap().lines() {
        let _ = symlink(&busybox, place.path("bin").join(applet));
    }
    let mut command = Command::new(&busybox);
    command.args(["ash", "scripts/bench.sh"]).args(arguments).arg(binary());
    command.env("PATH", place.path("bin")).env("TMPDIR", place.dir());
    Some(output_within(place, command, PATIENCE))
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What it has made in its place, of which nothing is to stay.
fn left_behind(place: &Place) -> Vec<String> {
    let names = std::fs::read_dir(place.dir()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("tmp.")).collect()
}

#[test]
fn figures_are_medians_with_the_least_and_the_greatest() {
    let place = Place::new();
    // The first run of each server only warms it.
    wrk_tells(&place, 1000, "", "9 9 300 300 100 100 200 200");
    let Some(output) = bench(&place, &["--rounds", "3", "--only", "return", "--json"]) else {
        return;
    };
    let (json, errors) = told(&output);
    assert!(output.status.success(), "{errors}");
    if program("nginx").is_some() {
        let rates =
            r#""requests_per_s":200,"requests_per_s_least":100,"requests_per_s_greatest":300"#;
        assert_eq!(json.matches(rates).count(), 2, "{json}");
        assert!(json.contains(r#""server":"nginx""#), "{json}");
    }
    for words in [r#""p99_us":2500"#, r#""us":"#, r#""pss_kib":"#, r#""start_ms""#, r#""stop_ms""#]
    {
        assert!(json.contains(words), "{words} in {json}");
    }
    if program("python3").is_some() {
        let path = place.write("figures.json", json);
        let read = Command::new("python3").args(["-m", "json.tool"]).arg(path).output().unwrap();
        assert!(read.status.success(), "{}", told(&read).1);
    }
    assert_eq!(left_behind(&place), [""; 0]);
}

#[test]
fn errors_and_wrong_statuses_are_fatal() {
    for (requests, more, complaint) in [
        (1000, "echo 'Non-2xx or 3xx responses: 3'", "3 of 1000 are not 2xx"),
        (1000, "echo 'redirects 4'", "4 of 1000 are not 2xx"),
        (1000, "echo 'Socket errors: connect 0, read 1, write 0, timeout 1'", "2 errors with"),
        (0, "", "no answers from"),
    ] {
        let place = Place::new();
        wrk_tells(&place, requests, more, "1");
        let Some(output) = bench(&place, &["--quick", "--only", "return"]) else { return };
        let (_, errors) = told(&output);
        assert!(errors.contains(complaint), "{complaint} in {errors}");
        assert_eq!((output.status.code(), left_behind(&place).len()), (Some(1), 0), "{errors}");
    }
    // Of what is not there all have to be wrong.
    let place = Place::new();
    wrk_tells(&place, 1000, "echo 'Non-2xx or 3xx responses: 999'", "1");
    let Some(output) = bench(&place, &["--quick", "--only", "404"]) else { return };
    assert!(told(&output).1.contains("999 of 1000 are not 2xx"));
}

#[test]
fn it_says_what_to_install() {
    let place = Place::new();
    let Some(output) = bench(&place, &["--quick"]) else { return };
    let (_, errors) = told(&output);
    assert!(errors.contains("apt-get install wrk"), "{errors}");
    assert_eq!(output.status.code(), Some(1));
    let Some(output) = bench(&place, &["--load", "ab"]) else { return };
    assert!(told(&output).1.contains("apt-get install apache2-utils"));
}

#[test]
fn whichever_load_generator_is_there_gives_figures() {
    for (package, load) in [("nghttp2-client", "h2load"), ("apache2-utils", "ab"), ("wrk", "wrk")] {
        let place = Place::new();
        let Some(real) = program(load) else {
            skip(&format!("needs {package}"));
            continue;
        };
        std::fs::create_dir(place.path("bin")).unwrap();
        symlink(real, place.path("bin").join(load)).unwrap();
        let arguments = ["--quick", "--rounds", "1", "--only", "404,proxy-upload"];
        let Some(output) = bench(&place, &arguments) else { return };
        let (rows, errors) = told(&output);
        assert!(output.status.success(), "{load}: {errors}");
        for row in ["404               limpet", "proxy-upload      limpet", "limpet     "] {
            assert!(rows.lines().any(|line| line.starts_with(row)), "{load}: {row} in {rows}");
        }
    }
}

/// As a terminal tells a whole group of processes.
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let place = Place::new();
    wrk_tells(&place, 1000, "sleep 30", "1");
    if drives_nginx() {
        return skip("needs limpet");
    }
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["scripts/bench.sh", "--only", "return"]).arg(binary()).process_group(0);
    command.env("PATH", path).env("TMPDIR", place.dir());
    command.stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    eventually("it asks", || std::fs::exists(place.path("turn")).unwrap());
    let interrupt = format!("kill -INT -{}", child.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(&place), [""; 0]);
}
