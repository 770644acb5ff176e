//! Content types that a filter is for: `gzip_types`, `charset_types` and their like.

use crate::conf::{Cx, Node};
use crate::text::hash::Build;
use std::collections::HashSet;
use std::rc::Rc;

/// Longer ones are never listed: so a look-up in any case needs no allocation.
const MOST: usize = 128;

#[derive(Clone, Debug, Default)]
pub struct TypeSet {
    /// `*`
    all: bool,
    names: HashSet<Box<[u8]>, Build>,
}

impl TypeSet {
    pub fn of(names: &[&str]) -> TypeSet {
        let names = names.iter().map(|name| name.as_bytes().into()).collect();
        TypeSet { all: false, names }
    }

    /// Adds the types that `node` names to those of earlier lines, and to `text/html`, which
    /// always is one (nginx).
    pub fn read(types: &mut Option<Rc<TypeSet>>, cx: &mut Cx, node: Node) {
        let set = types.get_or_insert_with(|| Rc::new(TypeSet::of(&["text/html"])));
        let set = Rc::make_mut(set);
        for word in node.args() {
            if word.bytes() == b"*" {
                set.all = true;
            } else if !set.names.insert(word.to_ascii_lowercase().into()) {
                cx.warn(word, format!("duplicate MIME type \"{word}\""));
            }
        }
    }

    pub fn has(&self, content_type: &[u8]) -> bool {
        let mut room = [0; MOST];
        let Some(lower) = room.get_mut(..content_type.len()) else { return self.all };
        lower.copy_from_slice(content_type);
        lower.make_ascii_lowercase();
        self.all || self.names.contains(&*lower)
    }
}
