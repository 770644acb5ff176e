//! The texts of a configuration that serves, kept for the case that it has to be read again
//! when the files may say something else: a new binary could not take over, and the old one
//! goes on with what it had.
//!
//! The reader is the same every time. So it is enough to keep its texts in the order in which
//! it came to them, and how many of them each `include` has found.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::slice::Iter;

use super::source::Text;
use super::tree::Tree;
use crate::shm::pack::{Packer, Unpacker};

#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    texts: Vec<(PathBuf, Vec<u8>)>,
    included: Vec<u32>,
}

pub fn pack(tree: &Tree) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.list(tree.files.iter(), |packer, file| {
        packer.bytes(file.name.as_os_str().as_bytes()).bytes(&file.text);
    });
    packer.list(tree.included.iter(), |packer, count| {
        packer.number((*count).into());
    });
    packer.into_bytes()
}

impl Kept {
    pub fn unpack(bytes: &[u8]) -> Option<Kept> {
        let mut from = Unpacker::new(bytes);
        let texts = from.list(|from| {
            let name = OsStr::from_bytes(from.bytes()?).into();
            Some((name, from.bytes()?.to_vec()))
        })?;
        Some(Kept { texts, included: from.list(Unpacker::number)? })
    }

    pub fn replay(&self) -> Replay<'_> {
        Replay { texts: self.texts.iter(), included: self.included.iter() }
    }
}

/// How far a reader has come.
pub struct Replay<'k> {
    texts: Iter<'k, (PathBuf, Vec<u8>)>,
    included: Iter<'k, u32>,
}

impl Replay<'_> {
    pub fn text(&mut self) -> Option<Text> {
        let (name, bytes) = self.texts.next()?;
        Some(Text { name: name.clone(), bytes: bytes.clone() })
    }

    /// Of the `include` that is met next.
    pub fn count(&mut self) -> u32 {
        self.included.next().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{Main, Source};
    use std::rc::Rc;

    /// A main file that includes a folder's files, one of which includes a third, and nothing.
    #[test]
    fn what_is_read_again_is_what_was_read_though_the_files_have_gone() {
        let folder = std::env::temp_dir().join(format!("limpet-kept-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sites")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("main.conf", "a 1; include sites/*.conf; include none/*; b { include third; }");
        write("sites/1.conf", "c; include third; d;");
        write("sites/2.conf", "e;");
        write("third", "f ${HOME_OF_NOBODY};");
        let mut source = Source::file(folder.join("main.conf"));
        source.globals = b"g;".to_vec();
        assert_eq!(source.main, Main::File(folder.join("main.conf")));
        let (first, errors) = source.read(|_| false);
        assert!(errors.is_empty());
        source.kept = Kept::unpack(&pack(&first)).map(Rc::new);
        std::fs::remove_dir_all(folder).unwrap();
        let (second, errors) = source.read(|_| false);
        assert!(errors.is_empty());
        let names = |tree: &Tree| {
            tree.nodes().map(|node| node.name().bytes().to_vec()).collect::<Vec<_>>().concat()
        };
        assert_eq!((names(&second), second.dump()), (b"gacfdeb".to_vec(), first.dump()));
        assert_eq!(Kept::unpack(b"no list"), None);
    }
}
