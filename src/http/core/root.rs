//! `root` and `alias`: from a URI to a path.

use std::rc::Rc;

/// Where files of a location are.
#[derive(Clone, Debug)]
pub struct Root {
    /// Absolute; without its last slash if it is a `root`.
    pub path: Rc<[u8]>,
    /// `alias`: this many bytes of the URI, the name of the location that has the
    /// directive, are replaced by the path; `None` for `root`, which precedes it.
    pub alias: Option<usize>,
}

impl Default for Root {
    fn default() -> Root {
        Root { path: Rc::from(b"html".as_slice()), alias: None }
    }
}
