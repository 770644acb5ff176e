//! limpet beside nginx: the same configurations, files and requests for both. Status, fields and
//! their order, bodies, and the lines of all access logs have to be the same.
//!
//! `differential/NAME.conf` is what stands in `http { }`, `differential/NAME.requests` what is
//! asked; `differential/frame` is put around each. The files of `differential/site` are at
//! `@DIR@/site`, with what `prepare` adds; access logs go to `@DIR@/logs`. How requests are
//! written is told in `differential/script.rs`, what may differ in `differential/compare.rs`.
//!
//! Pairs in `differential/proxy` have upstreams (`differential/backend.rs`): what these are sent
//! has to be the same, too, byte for byte.
//!
//! LIMPET_DIFFERENTIAL=FOLDER takes another folder of such pairs; FOLDER/NAME takes one pair, and
//! shows nginx's answers (with `--nocapture`).
mod answer;
mod backend;
mod compare;
mod script;

use crate::common::*;
use answer::{Answer, ask_all};
use backend::Backends;
use script::Request;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const THREADS: usize = 8;

/// A configuration and what is asked of it.
struct Pair {
    name: String,
    config: String,
    requests: Vec<Request>,
    /// What its upstreams can answer.
    answers: Option<String>,
}

/// What one server made of a pair.
struct Outcome {
    answers: Vec<Answer>,
    logs: BTreeMap<String, String>,
    /// What each upstream was sent, request by request.
    received: BTreeMap<String, Vec<String>>,
}

#[test]
fn configurations_are_served_as_by_nginx() {
    match std::env::var_os("LIMPET_DIFFERENTIAL") {
        Some(path) => check(&read_pairs(Path::new(&path)), (0, 0)),
        None => check(&read_pairs(&home()), LEAST),
    }
}

#[test]
fn upstreams_are_asked_as_by_nginx() {
    if std::env::var_os("LIMPET_DIFFERENTIAL").is_none() {
        check(&read_pairs(&home().join("proxy")), LEAST_PROXIED);
    }
}

fn check(pairs: &[Pair], least: (usize, usize)) {
    let Some(nginx) = program("nginx") else {
        return skip("there is no nginx here to compare with");
    };
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(pair) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = differences_of(pair, &nginx, pairs.len() == 1);
                    differences.lock().unwrap().extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    let requests: usize = pairs.iter().map(|pair| pair.requests.len()).sum();
    let (count, configs) = (differences.len(), pairs.len());
    let among = format!("among {requests} requests and {configs} configurations");
    assert!(count == 0, "{count} differences {among}:\n{}", differences.join("\n"));
    assert!(requests >= least.0 && configs >= least.1, "{among}: that is too few");
}

/// Requests and configurations.
const LEAST: (usize, usize) = (400, 45);
const LEAST_PROXIED: (usize, usize) = (1000, 15);

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// All pairs of a folder, or the one that the path names.
fn read_pairs(path: &Path) -> Vec<Pair> {
    if !path.is_dir() {
        return vec![read_pair(&path.with_extension("conf"))];
    }
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut configs: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    configs.sort();
    configs.iter().map(|config| read_pair(config)).collect()
}

fn read_pair(config: &Path) -> Pair {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let name = config.file_stem().unwrap().to_string_lossy().into_owned();
    let requests = config.with_extension("requests");
    let script = script::read(&read(requests.clone()));
    let requests = script.unwrap_or_else(|why| panic!("{}:{why}", requests.display()));
    let answers = fs::read_to_string(config.with_file_name("answers")).ok();
    Pair { name, config: read(config.into()), requests, answers }
}

/// Serves the pair with nginx and then, in the same place, with limpet.
fn differences_of(pair: &Pair, nginx: &Path, show: bool) -> Vec<String> {
    let place = Place::new();
    prepare(&place);
    let frame = fs::read_to_string(home().join("frame")).unwrap();
    let config = frame.replace("@CONFIG@", &pair.config);
    let backends = pair.answers.as_ref().map(|answers| Backends::start(&place, answers));
    let backends = backends.as_ref();
    let mut server = Limpet::prepare_binary(nginx, place, &config);
    if let Some(refused) = refusal(&server) {
        return vec![format!("{}.conf: nginx refuses it: {refused}", pair.name)];
    }
    let theirs = outcome(&mut server, &pair.requests, backends);
    if show {
        eprintln!("{}", compare::told(&pair.requests, &theirs));
    }
    server.hand_to(binary());
    if let Some(refused) = refusal(&server) {
        return vec![format!("{}.conf: limpet refuses it: {refused}", pair.name)];
    }
    let ours = outcome(&mut server, &pair.requests, backends);
    let mut found = compare::answers(pair, &theirs.answers, &ours.answers);
    found.extend(compare::logs(pair, &theirs, &ours));
    found.extend(compare::received(pair, &theirs, &ours));
    for line in server.log.lines() {
        if matches!(&*line.level, "alert" | "emerg") {
            found.push(format!("{}.conf: limpet logs [{}] {}", pair.name, line.level, line.text));
        }
    }
    found
}

/// What `-t` says against a configuration.
fn refusal(server: &Limpet) -> Option<String> {
    let output = server.run(&["-t"]);
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs a server from its start to its graceful end: then all is logged.
fn outcome(server: &mut Limpet, requests: &[Request], backends: Option<&Backends>) -> Outcome {
    clear(&server.place);
    server.launch();
    server.wait_workers(1);
    let answers = ask_all(server, requests);
    server.signal(libc::SIGQUIT);
    server.wait_end();
    let read = |file: PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        (name, String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
    };
    let logs = fs::read_dir(server.place.path("logs"))
        .unwrap()
        .map(|entry| read(entry.unwrap().path()))
        .collect();
    let received = backends.map(Backends::take).unwrap_or_default();
    Outcome { answers, logs, received }
}

/// Takes away what another server has written.
fn clear(place: &Place) {
    for dir in [place.path("logs"), place.path("temp")] {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        // Workers may be somebody else.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let _ = fs::remove_file(place.path("error.log"));
}

/// The site, with what does not lend itself to a repository; everything of the same age.
fn prepare(place: &Place) {
    let site = place.path("site");
    copy(&home().join("site"), &site);
    let www = site.join("www");
    fs::create_dir(www.join("empty")).unwrap();
    fs::create_dir(www.join("files")).unwrap();
    for name in ODD_NAMES {
        fs::write(www.join("files").join(name), format!("{name}\n")).unwrap();
    }
    fs::write(www.join("zero.txt"), "").unwrap();
    fs::write(www.join("long.txt"), long_text()).unwrap();
    fs::write(www.join("secret.txt"), "nobody reads this\n").unwrap();
    fs::write(www.join("run.sh"), "#!/bin/sh\n").unwrap();
    symlink("hello.txt", www.join("link.txt")).unwrap();
    symlink("nothing", www.join("broken.txt")).unwrap();
    symlink("docs", www.join("linked")).unwrap();
    for (name, mode) in [("secret.txt", 0o000), ("run.sh", 0o755)] {
        fs::set_permissions(www.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    settle(&site);
    clear(place);
}

const ODD_NAMES: [&str; 10] = [
    "a b.txt",
    "ü.txt",
    "a&b<c>\"d'.txt",
    "a:b.txt",
    "UPPER.TXT",
    "100%.txt",
    "what?.txt",
    ".hidden",
    "old.txt~",
    "a-name-that-is-longer-than-the-fifty-columns-of-a-listing-in-html.txt",
];

/// Compressible, but not to nothing.
fn long_text() -> String {
    (0..600u64).map(|n| format!("line {n} of a long text, {:x}\n", n * n * 2_654_435_761)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// Tue, 14 Nov 2023 22:13:20 GMT, for all files and, last, their directories.
fn settle(path: &Path) {
    if path.is_symlink() {
        return;
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| settle(&entry.unwrap().path()));
    }
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mode = path.metadata().unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    File::open(path).unwrap().set_modified(modified).unwrap();
    fs::set_permissions(path, mode).unwrap();
}
