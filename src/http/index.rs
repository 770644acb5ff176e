//! `index`: the files that answer for a directory.

use crate::conf::{Args, Context, Directive, Error, Node, settings};
use std::rc::Rc;

settings! {
    pub struct Loc, LocRaw {
        /// In the order they are tried; one that begins with `/` ends the search
        /// with an internal redirect.
        pub files: Rc<Vec<Box<[u8]>>> = Rc::new(vec![b"index.html".as_slice().into()]),
    }
}

pub static LOC: [Directive<LocRaw>; 1] =
    [Directive::call("index", Context::ALL, Args::ONE_MORE, |raw, cx, node| index(raw, cx, node))];

fn index(raw: &mut LocRaw, cx: &mut crate::conf::Cx, node: Node) -> Result<(), Error> {
    let files = Rc::make_mut(raw.files.get_or_insert_default());
    for (i, file) in node.args().enumerate() {
        if file.is_empty() {
            return Err(Error::at(file, "index \"\" in \"index\" directive is invalid"));
        }
        if file[0] == b'/' && i + 1 != node.args_len() {
            let text = "only the last index in \"index\" directive should be absolute";
            cx.warn(node, text.to_string());
        }
        files.push(file.bytes().into());
    }
    Ok(())
}
