//! Names of header lines, as `proxy_hide_header` and `proxy_pass_header` list them.

use crate::text::ascii;

/// Names without regard to case.
#[derive(Clone, Default)]
pub struct Names {
    names: Vec<Box<[u8]>>,
}

impl Names {
    pub fn add(&mut self, name: &[u8]) {
        self.names.push(name.to_ascii_lowercase().into());
    }

    pub fn has(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| ascii::eq_ignore_case(known, name))
    }
}
