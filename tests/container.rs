//! Containers: the images of scripts/image under Docker, with as few rights as can be taken,
//! and the same in bare namespaces with chroot.
//!
//! The clients are in the container's network, which has nothing but its own loopback.
//!
//! More than 500 lines, since both kinds of containers come before what is asked of them.
use crate::common::*;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const SITE: &str = "
    server {
        listen 8080;
        location / { return 200 one; }
        location /slow/ { alias /; limit_rate 1k; }
    }
";

/// For more connections than the built-in config has.
const MANY: &str = "
    daemon off; worker_processes auto;
    events { worker_connections 6000; }
    http { access_log off; keepalive_timeout 300s; include /etc/limpet/conf.d/site.conf; }
";

/// As much as can be taken from a container.
const BARE: [&str; 12] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=65532",
    "--memory=32m",
    "--memory-swap=32m",
    "--pids-limit=16",
    "--network=none",
    "--health-interval=1s",
    "--health-start-period=0s",
    "--env=GREETING=hello",
    "--ulimit=nofile=8192",
];

/// A container that runs; it is gone when this is dropped.
pub struct Container {
    engine: Engine,
    /// Its process 1, as seen from outside.
    pub init: Process,
    place: Place,
}

enum Engine {
    /// The name of the container.
    Docker(String),
    /// unshare(1), which waits for it.
    Namespaces(Child),
}

pub fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    match output.status.success() {
        true => Ok(told(&output.stdout)),
        false => Err(told(&output.stderr)),
    }
}

/// The tag of an image that was built for this run of the tests; why there is none.
pub fn image(kind: &'static str) -> Result<String, String> {
    static BUILT: [OnceLock<Result<String, String>>; 2] = [const { OnceLock::new() }; 2];
    let built = &BUILT[usize::from(kind == "busybox")];
    built.get_or_init(|| build(kind)).clone()
}

fn build(kind: &str) -> Result<String, String> {
    if drives_nginx() {
        return Err("the images have limpet in them".into());
    }
    if program("docker").is_none() || docker(&["info", "--format={{.ID}}"]).is_err() {
        return Err("there is no Docker engine here".into());
    }
    let tag = format!("limpet-test:{kind}");
    let mut command = Command::new("scripts/image/build");
    if kind == "busybox" {
        if program("busybox").is_none() {
            return Err("there is no busybox here".into());
        }
        command.arg("--busybox");
    }
    let output = command.arg(binary()).arg(&tag).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(tag)
}

impl Container {
    /// Of an image, with `SITE` and `options`; says so loudly if that cannot be.
    fn docker(kind: &'static str, options: &[&str]) -> Option<Container> {
        Self::docker_with(SITE, kind, options)
    }

    pub fn docker_with(site: &str, kind: &'static str, options: &[&str]) -> Option<Container> {
        let tag = match image(kind) {
            Ok(tag) => tag,
            Err(why) => {
                skip(&why);
                return None;
            }
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("limpet-test-{}-{number}", std::process::id());
        let place = Place::new();
        place.write("conf.d/site.conf", site);
        place.write("conf.d/many", MANY);
        let volume = format!("--volume={}:/etc/limpet/conf.d:ro", place.path("conf.d").display());
        let name_option = format!("--name={name}");
        let mut arguments = vec!["run", "--detach", &name_option, &volume];
        arguments.extend(BARE.iter().filter(|bare| !overridden(bare, options)));
        let (options, command): (Vec<&str>, Vec<&str>) =
            options.iter().partition(|option| option.starts_with("--"));
        arguments.extend(options);
        arguments.push(&tag);
        arguments.extend(command);
        docker(&arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let pid = docker(&["inspect", "--format={{.State.Pid}}", &name]).unwrap();
        let init = Process(pid.parse().unwrap());
        assert!(init.0 > 1, "it did not start: {}", docker(&["logs", &name]).unwrap());
        Some(Self { engine: Engine::Docker(name), init, place }.serving())
    }

    /// A new pid namespace in a root with nothing but limpet and its site, as nobody; what
    /// begins is limpet, or what the command says.
    fn namespaces(files: &[(&str, &str)], command_line: &[&str]) -> Option<Container> {
        if drives_nginx() || !kernel::is_root() || program("unshare").is_none() {
            skip("needs limpet, root and unshare(1)");
            return None;
        }
        let place = Place::new();
        let root = empty_root(&place, files);
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--wd=/", "-S65532", "-G65532"]);
        if command_line.first() == Some(&"/bin/init") {
            with_busybox(&root);
            // How an init's children find each other.
            command.arg("--mount-proc=/proc");
        }
        command.arg(format!("--root={}", root.display())).args(command_line);
        let log = |name| std::fs::File::create(place.path(name)).unwrap();
        let child = command.stdout(log("stdout")).stderr(log("stderr")).spawn().unwrap();
        let outer = Process(child.id() as i32);
        eventually("process 1", || !outer.children().is_empty());
        let init = outer.children()[0];
        Some(Self { engine: Engine::Namespaces(child), init, place }.serving())
    }

    fn serving(self) -> Self {
        kernel::enter_network(self.init.0).unwrap();
        if !within(LIMIT, || accepts(8080)) {
            panic!("it does not listen: {}", self.log());
        }
        self
    }

    fn name(&self) -> &str {
        match &self.engine {
            Engine::Docker(name) => name,
            Engine::Namespaces(_) => "",
        }
    }

    fn log(&self) -> String {
        match &self.engine {
            Engine::Docker(name) => {
                let output = Command::new("docker").args(["logs", name]).output().unwrap();
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
            Engine::Namespaces(_) => self.place.read("stdout") + &self.place.read("stderr"),
        }
    }

    /// All workers, once there are as many as the start line says.
    fn workers(&self) -> Vec<Process> {
        const SAID: &str = "worker_processes auto: ";
        self.wait_log(SAID);
        let log = self.log();
        let number = log.split(SAID).nth(1).and_then(|rest| rest.split(' ').next());
        let count: usize = number.and_then(|number| number.parse().ok()).expect("a number");
        eventually("every worker", || self.init.children().len() == count);
        self.init.children()
    }

    fn wait_log(&self, words: &str) {
        if !within(LIMIT, || self.log().contains(words)) {
            panic!("nobody says \"{words}\": {}", self.log());
        }
    }

    fn signal(&self, name: &str, number: i32) {
        match &self.engine {
            Engine::Docker(container) => drop(docker(&["kill", "-s", name, container]).unwrap()),
            Engine::Namespaces(_) => self.init.signal(number),
        }
    }

    /// Runs a program in it; what it says on success, or what it complains of.
    fn execute(&self, command_line: &[&str]) -> Result<String, String> {
        match &self.engine {
            Engine::Docker(name) => docker(&[&["exec", &**name], command_line].concat()),
            Engine::Namespaces(_) => {
                let mut command = Command::new("nsenter");
                command.args(["--pid", "--root", "--wd=/", "-S65532", "-G65532", "-t"]);
                command.arg(self.init.0.to_string()).args(command_line);
                let output = output(&self.place, command);
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text).trim().to_string();
                if output.status.success() { Ok(text) } else { Err(text) }
            }
        }
    }

    /// KiB of all its processes, each page shared by their number.
    fn memory(&self) -> u64 {
        let pss = |process: &Process| {
            let rollup = format!("/proc/{}/smaps_rollup", process.0);
            let text = std::fs::read_to_string(rollup).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.expect("a size").trim().parse::<u64>().unwrap()
        };
        self.init.children().iter().chain([&self.init]).map(pss).sum()
    }

    /// Asks for the end as engines do it.
    fn stop(&self) {
        match &self.engine {
            Engine::Docker(name) => {
                let name = name.clone();
                // It returns when the container has ended.
                std::thread::spawn(move || docker(&["stop", &name]));
            }
            Engine::Namespaces(_) => self.init.signal(libc::SIGTERM),
        }
    }

    /// Its exit code, once it has ended.
    fn wait_end(&mut self) -> i32 {
        match &mut self.engine {
            Engine::Docker(name) => docker(&["wait", name]).unwrap().parse().unwrap(),
            Engine::Namespaces(child) => {
                assert!(self.init.wait_end_within(LIMIT).is_some(), "it does not end");
                child.wait().unwrap().code().unwrap()
            }
        }
    }

    fn site(&self, text: &str) {
        self.write("site.conf", text);
    }

    /// A file beside its site.
    fn write(&self, name: &str, text: &str) {
        let folder = match &self.engine {
            Engine::Docker(_) => "conf.d",
            Engine::Namespaces(_) => "root/etc/limpet/conf.d",
        };
        self.place.write(&format!("{folder}/{name}"), text);
    }
}

fn overridden(bare: &str, options: &[&str]) -> bool {
    let name = bare.split('=').next().unwrap();
    options.iter().any(|option| option.split('=').next() == Some(name))
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        match &mut self.engine {
            Engine::Docker(name) => drop(docker(&["rm", "--force", name])),
            Engine::Namespaces(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// What Dockerfile.busybox puts into its image.
fn with_busybox(root: &std::path::Path) {
    let busybox = program("busybox").unwrap();
    for (from, to) in
        [(&*busybox, "bin/busybox"), ("scripts/image/inittab".as_ref(), "etc/inittab")]
    {
        let to = root.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy_program(from, &to);
    }
    std::fs::create_dir(root.join("proc")).unwrap();
    for applet in ["init", "sh"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

const FILES: [(&str, &str); 2] =
    [("etc/limpet/conf.d/site.conf", SITE), ("etc/limpet/conf.d/many", MANY)];

/// In each kind of container that there can be here.
fn in_each(check: impl Fn(Container)) {
    in_each_with(&[], check);
}

fn in_each_with(options: &[&str], check: impl Fn(Container)) {
    let command_line = [&["/limpet"], options].concat();
    Container::namespaces(&FILES, &command_line).map(&check);
    Container::docker("scratch", options).map(&check);
}

#[test]
fn an_image_is_the_binary_and_nothing_else() {
    let tag = match image("scratch") {
        Ok(tag) => tag,
        Err(why) => return skip(&why),
    };
    let size = docker(&["image", "inspect", "--format={{.Size}}", &tag]).unwrap();
    assert_eq!(size, binary().metadata().unwrap().len().to_string());
}

#[test]
fn it_serves_with_every_right_taken_away() {
    in_each(|container| {
        assert_eq!(get(8080, "/").text(), "one");
        let file = get(8080, "/slow/etc/limpet/conf.d/site.conf");
        assert_eq!(file.text(), SITE);
        for process in container.init.children() {
            assert_eq!((process.user(), &*process.status("CapEff")), (65532, "0000000000000000"));
        }
        container.wait_log("GET / HTTP/1.1\" 200");
    });
}

/// What people copy from an image of nginx: its main configuration, with paths that only that
/// image has.
#[test]
fn the_configuration_of_an_nginx_image_serves() {
    let main = "
        user nginx; worker_processes auto; daemon off;
        error_log /var/log/nginx/error.log notice;
        pid /var/run/nginx.pid;
        events { worker_connections 1024; }
        http {
            include /etc/nginx/mime.types;
            default_type application/octet-stream;
            log_format main '$remote_addr \"$request\" $status';
            access_log /var/log/nginx/access.log main;
            client_body_temp_path /var/cache/nginx/client_temp;
            sendfile on;
            include /etc/nginx/conf.d/*.conf;
        }";
    let site = "server {
            listen 8080; listen [::]:8080; server_name localhost;
            location / { root /usr/share/nginx/html; index index.html index.htm; }
            error_page 500 502 503 504 /50x.html;
            location = /50x.html { root /usr/share/nginx/html; }
        }";
    let files = [
        ("etc/nginx/nginx.conf", main),
        ("etc/nginx/conf.d/default.conf", site),
        ("usr/share/nginx/html/index.html", "as nginx serves it"),
    ];
    let Some(container) = Container::namespaces(&files, &["/limpet"]) else { return };
    assert_eq!(get(8080, "/").text(), "as nginx serves it");
    assert_eq!(get(8080, "/").header("content-type"), "text/html");
    container.wait_log("127.0.0.1 \"GET / HTTP/1.1\" 200");
    container.wait_log("start worker process");
}

/// The example for Kubernetes: its site, as a ConfigMap gives it, and its hook.
#[test]
fn the_kubernetes_example_drains() {
    let example = std::fs::read_to_string("scripts/image/kubernetes.yaml").unwrap();
    let (_, site) = example.split_once("site.conf: |").unwrap();
    let (site, _) = site.split_once("---").unwrap();
    let options = ["-g", "config_watch on;"];
    let Some(mut container) = Container::docker("scratch", &options) else { return };
    container.site(site);
    eventually("the example's site", || get(8080, "/").text().starts_with("hello from "));
    assert_eq!((get(8080, "/live").status, get(8080, "/ready").status), (200, 200));
    assert_eq!(get(8080, "/").header("x-frame-options"), "SAMEORIGIN");
    let drain = ["exec", "--detach", container.name(), "/limpet", "-s", "drain"];
    docker(&drain).unwrap();
    eventually("it says that it will stop", || get(8080, "/ready").status == 503);
    assert_eq!(get(8080, "/").status, 200, "and serves on meanwhile");
    assert_eq!(container.wait_end(), 0);
}

#[test]
fn workers_are_as_many_as_the_quota() {
    let Some(container) = Container::docker("scratch", &["--cpus=0.5"]) else { return };
    container.wait_log("worker_processes auto: 1 (bound by");
    assert_eq!(container.init.children_titled("worker process").len(), 1);
    assert_eq!(get(8080, "/").text(), "one");
    let Some(container) = Container::docker("scratch", &[]) else { return };
    assert_eq!(get(8080, "/").text(), "one");
    let workers = container.workers().len();
    assert_eq!(container.init.children_titled("worker process").len(), workers);
    assert!(!container.log().contains("quota"), "{}", container.log());
}

/// The kernel tells whoever has the terminal: process 1.
#[test]
fn a_terminal_that_is_resized_changes_nothing() {
    let Some(container) = Container::docker("scratch", &["--tty"]) else { return };
    let workers = container.workers();
    let name = container.name();
    let Ok(mut engine) = std::os::unix::net::UnixStream::connect("/var/run/docker.sock") else {
        return skip("needs Docker's socket");
    };
    for (rows, columns) in [(40, 100), (24, 80), (50, 132)] {
        let target = format!("/containers/{name}/resize?h={rows}&w={columns}");
        write!(engine, "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let length = engine.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "the engine resizes it");
        assert_eq!(get(8080, "/").text(), "one");
    }
    assert_eq!(container.init.children(), workers, "they are still the same");
}

#[test]
fn a_stop_finishes_what_is_in_flight() {
    in_each(|mut container| {
        let mut client = Client::connect(8080);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        get(8080, "/"); // by now the first connection has been accepted
        let began = Instant::now();
        container.stop();
        eventually("the listener is closed", || !accepts(8080));
        client.send("\r\n");
        assert_eq!(client.response().text(), "one");
        assert_eq!(container.wait_end(), 0);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}: the engine has killed it");
    });
}

#[test]
fn signals_mean_what_they_mean_elsewhere() {
    in_each(|container| {
        let workers = container.workers();
        container.signal("WINCH", libc::SIGWINCH);
        container.signal("USR1", libc::SIGUSR1);
        assert_eq!(get(8080, "/").text(), "one");
        assert_eq!(container.init.children(), workers, "they are still the same");

        container.site(&SITE.replace("one", "two"));
        container.signal("HUP", libc::SIGHUP);
        eventually("the new site", || get(8080, "/").text() == "two");

        container.site(&SITE.replace("one", "three").replace("listen", "lisen"));
        container.signal("HUP", libc::SIGHUP);
        container.wait_log("reload failed");
        assert_eq!(get(8080, "/").text(), "two");

        container.site(SITE);
        container.signal("USR2", libc::SIGUSR2);
        let mut client = Client::connect(8080);
        assert!(["one", "two"].contains(&&*client.get("/").text()), "it serves on");
    });
}

#[test]
fn docker_calls_it_healthy_while_it_answers() {
    let Some(container) = Container::docker("scratch", &[]) else { return };
    let health = || {
        let format = "--format={{.State.Health.Status}}";
        docker(&["inspect", format, container.name()]).unwrap()
    };
    eventually("it is healthy", || health() == "healthy");
}

#[test]
fn a_healthcheck_tells_how_it_answers() {
    in_each(|container| {
        assert!(container.execute(&["/limpet", "healthcheck"]).unwrap().contains("answers 200"));
        container.site("server { listen 8080; return 503; }");
        container.signal("HUP", libc::SIGHUP);
        eventually("it answers badly", || get(8080, "/").status == 503);
        let ill = container.execute(&["/limpet", "healthcheck"]);
        assert!(ill.unwrap_err().contains("answers 503"));
    });
}

/// What others leave behind in the container becomes the child of process 1.
#[test]
fn orphans_are_reaped() {
    in_each(|container| {
        let other = "daemon on; events { } http { server { listen 8081; return 200 other; } }";
        container.write("other", other);
        container.execute(&["/limpet", "-c", "/etc/limpet/conf.d/other"]).unwrap();
        assert_eq!(get(8081, "/").text(), "other");
        let children = container.init.children();
        let orphan = children.into_iter().find(|child| child.title().contains("conf.d/other"));
        let orphan = orphan.expect("a daemon without its parent");
        orphan.signal(libc::SIGTERM);
        eventually("nothing is left of it, not even a zombie", || orphan.state().is_empty());
        assert_eq!(get(8080, "/").text(), "one");
        assert!(!container.log().contains("unknown process"), "{}", container.log());
    });
}

#[test]
fn thousands_of_idle_connections_fit_into_32_megabytes() {
    const IDLE: usize = 5_000;
    let (soft, _) = Process(std::process::id() as i32).limit("Max open files");
    if soft.parse().is_ok_and(|soft: usize| soft < IDLE + 1000) {
        kernel::prlimit(0, libc::RLIMIT_NOFILE, 8192, 8192).unwrap();
    }
    in_each_with(&["-c", "/etc/limpet/conf.d/many"], |container| {
        let mut idle: Vec<Client> = (0..IDLE)
            .map(|_| {
                let mut client = Client::connect(8080);
                assert_eq!(client.get("/").text(), "one");
                client
            })
            .collect();
        // Threads are born in the network of the thread that makes them.
        let load = || {
            let mut client = Client::connect(8080);
            (0..500).for_each(|_| assert_eq!(client.get("/").text(), "one"));
            (0..100).for_each(|_| assert_eq!(get(8080, "/").text(), "one"));
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(load))));
        for client in idle.iter_mut().step_by(100) {
            assert_eq!(client.get("/").text(), "one");
        }
        let kib = container.memory();
        assert!(kib < 32 * 1024, "{kib} KiB");
        if let Engine::Docker(name) = &container.engine {
            let killed = docker(&["inspect", "--format={{.State.OOMKilled}}", name]);
            assert_eq!(killed.unwrap(), "false");
        }
    });
}

#[test]
fn under_busybox_init_a_killed_master_comes_back() {
    let check = |mut container: Container| {
        let children = || container.init.children();
        let master = || children().into_iter().find(|child| child.title().contains("master"));
        eventually("a master", || master().is_some());
        let first = master().expect("a master");
        let workers = first.children();
        first.signal(libc::SIGKILL);
        eventually("its workers have left", || !workers.iter().any(|worker| worker.lives()));
        eventually("another master", || master().is_some_and(|other| other != first));
        eventually("it serves again", || try_get(8080, "/").is_ok_and(|it| it.text() == "one"));
        eventually("nothing is left of the first", || first.state().is_empty());
        let mut client = Client::connect(8080);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        get(8080, "/"); // by now the first connection has been accepted
        container.stop();
        eventually("the listener is closed", || !accepts(8080));
        client.send("\r\n");
        assert_eq!(client.response().text(), "one");
        assert_eq!(container.wait_end(), 0);
    };
    Container::docker("busybox", &[]).map(check);
    match program("busybox") {
        Some(_) => drop(Container::namespaces(&FILES, &["/bin/init"]).map(check)),
        None => skip("needs busybox"),
    }
}
