//! `config_watch`: a configuration that changes is taken up without a signal.
use crate::common::*;
use std::fs;
use std::os::unix::fs::symlink;

/// A server whose answer tells which of its configurations is in force.
fn saying(word: &str) -> String {
    format!(
        "config_watch on;
         events {{ }}
         http {{ access_log off; server {{ listen 8080; location / {{ return 200 {word}; }} }} }}"
    )
}

fn answers(limpet: &Limpet, word: &str) {
    eventually(word, || limpet.get("/").text() == word);
}

#[test]
fn a_file_that_is_written_or_replaced_is_taken_up() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&saying("one"));
    answers(&limpet, "one");
    limpet.configure(&saying("two"));
    answers(&limpet, "two");
    limpet.log.wait("the configuration has changed, reconfiguring");

    // As editors do it.
    limpet.configure(&saying("three"));
    answers(&limpet, "three");
    let (new, old) = (limpet.place.path("new"), limpet.place.path("limpet.conf"));
    fs::write(&new, fs::read_to_string(&old).unwrap().replace("three", "four")).unwrap();
    fs::rename(new, old).unwrap();
    answers(&limpet, "four");

    // The next configuration ends it.
    limpet.configure(&saying("five").replace("config_watch on;", ""));
    answers(&limpet, "five");
    limpet.configure(&saying("six"));
    limpet.signal(libc::SIGUSR1);
    limpet.log.wait("reopening logs");
    assert_eq!(limpet.get("/").text(), "five");
    limpet.signal(libc::SIGHUP);
    answers(&limpet, "six");
}

/// Kubernetes writes a folder, swaps the link `..data` and removes the old folder.
#[test]
fn a_config_map_is_taken_up() {
    if drives_nginx() {
        return;
    }
    let place = Place::new();
    let server = |word: &str| format!("server {{ listen 8080; return 200 {word}; }}");
    place.write("conf.d/..1/site.conf", place.fill(&server("one")));
    symlink("..1", place.path("conf.d/..data")).unwrap();
    symlink("..data/site.conf", place.path("conf.d/site.conf")).unwrap();
    let config =
        "config_watch on; events { } http { access_log off; include @DIR@/conf.d/*.conf; }";
    let limpet = Limpet::start_in(place, config);
    answers(&limpet, "one");
    for (turn, word) in [(2, "two"), (3, "three")] {
        let place = &limpet.place;
        place.write(&format!("conf.d/..{turn}/site.conf"), place.fill(&server(word)));
        symlink(format!("..{turn}"), place.path("conf.d/..data_tmp")).unwrap();
        fs::rename(place.path("conf.d/..data_tmp"), place.path("conf.d/..data")).unwrap();
        fs::remove_dir_all(place.path(&format!("conf.d/..{}", turn - 1))).unwrap();
        answers(&limpet, word);
    }
    // A site that comes is a change, too.
    let more = place_server(&limpet, 8081);
    limpet.place.write("conf.d/more.conf", more);
    eventually("the new site", || accepts(limpet.port(8081)));
}

fn place_server(limpet: &Limpet, port: u16) -> String {
    limpet.place.fill(&format!("server {{ listen {port}; return 200 more; }}"))
}

#[test]
fn a_broken_one_is_refused_once_and_the_old_serves_on() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&saying("one"));
    limpet.configure(&saying("two").replace("listen", "lisen"));
    limpet.log.wait("reload failed: unknown directive \"lisen\"");
    let text = limpet.place.read("limpet.conf");
    for _ in 0..3 {
        limpet.place.write("limpet.conf", &text);
    }
    assert_eq!(limpet.get("/").text(), "one");
    eventually("it says that it is over", || {
        let status = limpet.run(&["-s", "status"]);
        String::from_utf8_lossy(&status.stdout).contains(": running, ")
    });
    limpet.configure(&saying("three"));
    answers(&limpet, "three");
    let count = |what: &str| limpet.place.read("error.log").matches(what).count();
    assert_eq!(count("reload failed"), 1, "the same text is not tried again");
    assert_eq!(count("the configuration has changed"), 2);
    let status = limpet.run(&["-s", "status", "--json"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("\"reloads_refused\":1"), "{status}");
}

/// A burst is one reload, and what does not change the text is none.
#[test]
fn a_burst_is_one_reload() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&saying("word0"));
    for turn in 1..=20 {
        limpet.configure(&saying(&format!("word{turn}")));
        limpet.place.write("noise", "not part of it");
    }
    answers(&limpet, "word20");
    limpet.place.write("noise", "again");
    let same = limpet.place.read("limpet.conf");
    limpet.place.write("limpet.conf", same);
    limpet.configure(&saying("end"));
    answers(&limpet, "end");
    let told = limpet.place.read("error.log").matches("the configuration has changed").count();
    assert!(told <= 3, "{told} reloads of two changes");
}

/// A pod ends while its ConfigMap is one that was refused.
#[test]
fn a_broken_one_can_be_drained() {
    if drives_nginx() {
        return;
    }
    let mut limpet = Limpet::start(&format!("shutdown_delay 1s; {}", saying("one")));
    limpet.configure(&saying("two").replace("listen", "lisen"));
    limpet.log.wait("reload failed: unknown directive \"lisen\"");
    let refused = limpet.run(&["-s", "quit"]);
    assert!(!refused.status.success(), "as in nginx");
    let drained = limpet.run(&["-s", "drain"]);
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    assert_eq!(limpet.wait_end(), Ended::Code(0));
}

/// By the binary that comes, and by the one that comes back.
#[test]
fn it_is_watched_after_an_upgrade_too() {
    if drives_nginx() {
        return;
    }
    let limpet = Limpet::start(&saying("one"));
    answers(&limpet, "one");
    let upgrade = || limpet.run(&["-s", "upgrade"]).status.code();
    assert_eq!(upgrade(), Some(0));
    limpet.configure(&saying("two"));
    answers(&limpet, "two");
    limpet.configure(&format!("working_directory @DIR@/nowhere; {}", saying("three")));
    limpet.log.wait("reload failed: ");
    assert_eq!(upgrade(), Some(1));
    limpet.configure(&saying("four"));
    answers(&limpet, "four");
}
