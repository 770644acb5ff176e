//! `tls_offload on;`: a terminator in front speaks TLS, and what a configuration says of it
//! is for that terminator. Without it nothing that asks for TLS is served in the clear.

use super::{Cx, Node, Nodes, unsupported};

/// What is left to the terminator.
#[derive(Default)]
pub struct Tls {
    /// At the level that is being read.
    pub offloaded: bool,
    /// Directives and parameters that were passed over, each once.
    ignored: Vec<String>,
}

impl Tls {
    /// A level begins, which may say so itself, at any place in it; gives back what was.
    pub fn enter(&mut self, level: Nodes) -> bool {
        let outer = self.offloaded;
        let mut said = level.filter(|node| node.name().bytes() == b"tls_offload");
        self.offloaded = said.next().map_or(outer, |node| node.arg(0).eq_ignore_ascii_case(b"on"));
        outer
    }

    fn ignore(&mut self, what: &str) {
        if !self.ignored.iter().any(|known| known == what) {
            self.ignored.push(what.into());
        }
    }

    /// What is told of it, once.
    pub fn notice(&self) -> Option<String> {
        let all = self.ignored.join(", ");
        (!all.is_empty()).then(|| format!("tls_offload: left to the layer in front: {all}"))
    }
}

impl Cx {
    /// Whether a directive is the terminator's; then it is passed over.
    pub fn is_of_terminator(&mut self, node: Node) -> bool {
        let name = node.name();
        if !self.tls.offloaded || !(name.starts_with(b"ssl_") || name.starts_with(b"http2")) {
            return false;
        }
        let name = name.to_string();
        // A name that nobody knows is a mistake all the same.
        let is_known = unsupported::remedy(&name).is_some();
        if is_known {
            self.tls.ignore(&name);
        }
        is_known
    }

    /// The same for a parameter of `listen`.
    pub fn is_of_terminator_here(&mut self, parameter: &[u8]) -> bool {
        let name = match parameter {
            b"ssl" => "listen ... ssl",
            b"http2" => "listen ... http2",
            _ => return false,
        };
        if self.tls.offloaded {
            self.tls.ignore(name);
        }
        self.tls.offloaded
    }
}
