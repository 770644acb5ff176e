//! `types`: from the extension of a file to its content type.

use super::LocRaw;
use crate::conf::{Cx, Error, Node, Shown};
use crate::text::hash::Build;
use std::collections::HashMap;
use std::rc::Rc;

/// Longer ones have no type: so a look-up in any case needs no allocation.
const EXTENSION_MAX: usize = 32;

/// Extensions in lower case, and their types.
#[derive(Clone, Default, Debug)]
pub struct Types {
    by_extension: HashMap<Box<[u8]>, Rc<[u8]>, Build>,
}

impl Types {
    /// nginx's types where no level names any.
    pub fn few() -> Types {
        let types = [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")];
        let types =
            types.map(|(extension, kind)| (extension.as_bytes().into(), kind.as_bytes().into()));
        Types { by_extension: types.into_iter().collect() }
    }

    /// The type of `extension`, which may be in any case.
    pub fn find(&self, extension: &[u8]) -> Option<&Rc<[u8]>> {
        // What has none is of the default type, whatever the table says, as in nginx.
        if extension.is_empty() {
            return None;
        }
        let mut room = [0; EXTENSION_MAX];
        let lower = room.get_mut(..extension.len())?;
        lower.copy_from_slice(extension);
        lower.make_ascii_lowercase();
        self.by_extension.get(&*lower)
    }
}

/// `types { TYPE EXTENSION...; ... }`: several blocks of a level add up.
pub fn types(raw: &mut LocRaw, cx: &mut Cx, node: Node) -> Result<(), Error> {
    let types = Rc::make_mut(raw.types.get_or_insert_default());
    for line in node.block().into_iter().flatten() {
        let kind: Rc<[u8]> = line.name().bytes().into();
        if line.block().is_some() {
            cx.errors.push(Error::at(line.name(), "unexpected \"{\""));
        }
        for extension in line.args() {
            let lower = extension.to_ascii_lowercase().into_boxed_slice();
            if let Some(old) = types.by_extension.insert(lower, Rc::clone(&kind)) {
                let text = format!(
                    "duplicate extension \"{extension}\", content type: \"{}\", previous \
                     content type: \"{}\"",
                    Shown(&kind),
                    Shown(&old)
                );
                cx.warn(extension, text);
            }
        }
    }
    Ok(())
}
