//! Upstreams in a network of containers: names that Docker knows, and addresses that change.
use crate::common::*;
use crate::container::{Container, SITE, docker, image};

/// A network of Docker's; it is gone when this is dropped.
struct Network {
    name: String,
    /// `10.1.2`
    prefix: String,
}

impl Network {
    fn new() -> Option<Self> {
        if let Err(why) = image("scratch") {
            skip(&why);
            return None;
        }
        let id = std::process::id();
        let (name, prefix) = (format!("limpet-test-{id}"), format!("10.213.{}", id % 256));
        let subnet = format!("--subnet={prefix}.0/24");
        docker(&["network", "create", &subnet, &name]).unwrap();
        Some(Self { name, prefix })
    }

    /// A container with these options at the address of that number.
    fn container(&self, site: &str, number: u8, options: &[&str]) -> Container {
        let network = format!("--network={}", self.name);
        let address = format!("--ip={}.{number}", self.prefix);
        let options = [&[&*network, &*address], options].concat();
        Container::docker_with(site, "scratch", &options).expect("an engine")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = docker(&["network", "rm", &self.name]);
    }
}

/// A name in a container network, as people have it: no resolver, no `resolve`, and an
/// application that comes back under another address, long before the ten minutes are over that
/// Docker says the old one is good for.
#[test]
fn an_application_that_is_recreated_is_found_again() {
    let Some(network) = Network::new() else { return };
    let app = |text: &str, number: u8| {
        let site = format!("server {{ listen 8080; listen 3000; return 200 {text}; }}");
        network.container(&site, number, &["--network-alias=app"])
    };
    let first = app("first", 10);
    let site = "server { listen 8080; location / { return 200 proxy; }
                location /app { proxy_pass http://app:3000; } }";
    let proxy = network.container(site, 5, &[]);
    // The client stands beside the proxy.
    let ask = || {
        kernel::enter_network(proxy.init.0).unwrap();
        let response = get(8080, "/app");
        if response.status == 200 { response.text() } else { response.status.to_string() }
    };
    assert_eq!(ask(), "first");

    // Somebody else has its address now, and refuses.
    drop(first);
    let _other = network.container(SITE, 10, &[]);
    let second = app("second", 11);
    let answers: Vec<String> = (0..10).map(|_| ask()).collect();
    let (lost, found) = answers.split_at(usize::from(answers[0] == "502"));
    assert!(lost.len() <= 1 && found.iter().all(|text| text == "second"), "{answers:?}");

    // Nobody has its address now: the kernel would look for it for half a minute.
    drop(second);
    let _third = app("third", 12);
    let answers: Vec<String> = (0..10).map(|_| ask()).collect();
    let (lost, found) = answers.split_at(usize::from(answers[0] == "502"));
    assert!(lost.len() <= 1 && found.iter().all(|text| text == "third"), "{answers:?}");
}
