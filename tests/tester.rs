//! `-t` and `-T`: everything a start would check, beside whatever runs (process model,
//! section 1).
use crate::common::*;
use std::fs;

const SERVED: &str = "
    events { }
    http { access_log @DIR@/access.log; server { listen 8080; location / { return 200 served; } } }
";

fn tested(limpet: &Limpet, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = limpet.run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_configuration_is_called_so() {
    let limpet = Limpet::prepare(Place::new(), SERVED);
    let (code, stdout, stderr) = tested(&limpet, &["-t"]);
    let (name, file) = (name(), limpet.place.path("limpet.conf"));
    let file = file.display();
    let expected = format!(
        "{name}: the configuration file {file} syntax is ok\n\
         {name}: configuration file {file} test is successful\n"
    );
    assert_eq!((code, &*stdout, stderr), (Some(0), "", expected));
    assert_eq!(tested(&limpet, &["-t", "-q"]), (Some(0), String::new(), String::new()));
    assert_eq!(limpet.pid_file(), None);
}

#[test]
fn a_bad_one_fails_with_its_place() {
    let limpet = Limpet::prepare(Place::new(), &SERVED.replace("listen 8080", "lisen 8080"));
    let (code, _, stderr) = tested(&limpet, &["-t"]);
    let file = limpet.place.path("limpet.conf");
    let file = file.display();
    let told = format!("{}: [emerg] unknown directive \"lisen\" in {file}:", name());
    let failed = format!("{}: configuration file {file} test failed\n", name());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&told) && stderr.ends_with(&failed), "{stderr}");
    assert_eq!(tested(&limpet, &["-t", "-q"]).0, Some(1));
}

#[test]
fn the_whole_configuration_can_be_dumped() {
    let place = Place::new();
    place.write("part.conf", "server { listen 8081; }\n");
    let config = SERVED.replace("server {", "include @DIR@/part.conf; server {");
    let limpet = Limpet::prepare(place, &config);
    let (code, stdout, stderr) = tested(&limpet, &["-T"]);
    let dir = limpet.place.dir().display();
    let main = limpet.place.read("limpet.conf");
    let expected = format!(
        "# configuration file {dir}/limpet.conf:\n{main}\n\
         # configuration file {dir}/part.conf:\nserver {{ listen 8081; }}\n\n"
    );
    assert_eq!((code, stdout), (Some(0), expected));
    assert!(stderr.contains("test is successful"));
}

#[test]
fn it_is_safe_beside_a_running_server() {
    let limpet = Limpet::start(
        "worker_processes 2; events { }
         http { access_log @DIR@/access.log; server {
             listen 8080; listen 8081 reuseport; listen unix:@DIR@/a.sock;
             location / { return 200 served; }
         } }",
    );
    let workers = limpet.wait_workers(2);
    let (pid_file, sockets) = (limpet.pid_file(), limpet.master().fds().len());
    for _ in 0..3 {
        assert_eq!(tested(&limpet, &["-t"]).0, Some(0));
        assert_eq!(limpet.get("/").text(), "served");
        assert_eq!(get(limpet.port(8081), "/").text(), "served");
        let path = limpet.place.path("a.sock");
        assert_eq!(Client::connect_unix(&path).get("/").text(), "served");
    }
    assert_eq!(limpet.pid_file(), pid_file);
    assert_eq!(limpet.master().fds().len(), sockets);
    assert_eq!(limpet.wait_workers(2), workers);
}

#[test]
fn a_test_does_not_write_a_pid_file_or_leave_a_socket() {
    let config = SERVED.replace("listen 8080", "listen unix:@DIR@/new.sock");
    let limpet = Limpet::prepare(Place::new(), &config);
    assert_eq!(tested(&limpet, &["-t"]).0, Some(0));
    assert_eq!(limpet.pid_file(), None);
    let left: Vec<_> = fs::read_dir(limpet.place.dir()).unwrap().flatten().collect();
    let sockets = left.iter().filter(|entry| entry.file_name() == "new.sock").count();
    assert!(drives_nginx() || sockets == 0);
}

#[test]
fn files_that_a_start_would_open_are_tried() {
    let config = SERVED.replace("@DIR@/access.log", "@DIR@/missing/access.log");
    let limpet = Limpet::prepare(Place::new(), &config);
    let (code, _, stderr) = tested(&limpet, &["-t"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("access.log\" failed (2: No such file or directory)"), "{stderr}");
}
