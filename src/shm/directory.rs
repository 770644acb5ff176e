//! The zones of one configuration, by name.
//!
//! Modules declare them while the configuration is read; they are opened
//! together once it is whole. A zone of the configuration before is kept if
//! name, size, owner, key and layout are the same; otherwise there is a new one,
//! and the old one is shown to whoever fills it.

use std::cell::OnceCell;
use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use super::zone::{Recovery, Spec, Zone};
use crate::sys::process::Pid;
use crate::sys::{Errno, fd};

#[derive(Default)]
pub struct Directory {
    declared: Vec<(Spec, Handle)>,
}

/// A declared zone, for who is going to use it. Equal ones are the same zone.
#[derive(Clone, Default)]
pub struct Handle(Rc<OnceCell<Rc<Zone>>>);

impl Handle {
    /// None before the directory is opened.
    pub fn zone(&self) -> Option<&Rc<Zone>> {
        self.0.get()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.zone().map_or("a zone", |zone| &zone.spec.name))
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Handle) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What was there before.
#[derive(Clone, Copy)]
pub enum Before<'a> {
    /// This is a start.
    Nothing,
    /// The configuration that is to be replaced.
    Directory(&'a Directory),
    /// The image before this one, in the same process.
    Image(&'a [Left]),
}

/// A zone that an exec has left us.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub name: String,
    pub size: usize,
    pub owner: String,
    pub key: String,
    pub layout: u32,
    /// The number of its memory.
    pub memory: RawFd,
}

impl Left {
    pub fn of(zone: &Zone) -> Left {
        let Spec { name, size, owner, key, layout, .. } = zone.spec.clone();
        Left { name, size, owner: owner.into(), key, layout, memory: zone.memory().as_raw_fd() }
    }

    /// The zone as it was, if it is still the same module's and its records are of one shape.
    fn zone(&self, wanted: &Spec) -> Option<Zone> {
        let known = self.owner == wanted.owner && self.layout == wanted.layout;
        let memory = known.then(|| fd::duplicate_number(self.memory))?.ok()?;
        let spec = Spec { size: self.size, key: self.key.clone(), ..wanted.clone() };
        Zone::adopt(spec, memory).ok()
    }
}

/// Where an opened zone comes from.
pub enum Origin {
    Fresh,
    /// Contents and all.
    Kept,
    /// New and empty, in place of this one.
    Replaces(Rc<Zone>),
}

impl Directory {
    /// Declares a zone, or refers to one declared before (size 0: whatever it
    /// has).
    pub fn declare(&mut self, spec: Spec) -> Result<Handle, Refusal> {
        let known = self.declared.iter_mut().find(|(known, _)| known.name == spec.name);
        let Some((known, handle)) = known else {
            let handle = Handle::default();
            self.declared.push((spec, handle.clone()));
            return Ok(handle);
        };
        if known.owner != spec.owner {
            return Err(Refusal::OtherUse { name: spec.name });
        }
        if known.size == 0 {
            *known = spec;
        } else if spec.size != 0 && spec.size != known.size {
            return Err(Refusal::OtherSize { name: spec.name, size: spec.size, known: known.size });
        }
        Ok(handle.clone())
    }

    /// What is known of a zone that was declared here.
    pub fn spec(&self, handle: &Handle) -> Option<&Spec> {
        self.declared.iter().find(|(_, declared)| declared == handle).map(|(spec, _)| spec)
    }

    /// Opens every declared zone; `opened` hears of each, to fill it.
    pub fn open(
        &self,
        before: Before<'_>,
        mut opened: impl FnMut(&Rc<Zone>, Origin),
    ) -> Result<(), Refusal> {
        for (spec, handle) in &self.declared {
            let name = || spec.name.clone();
            if spec.size == 0 {
                return Err(Refusal::ZeroSize { name: name() });
            }
            let (old, left) = before.find(&spec.name);
            let old = old.cloned().or_else(|| left?.zone(spec).map(Rc::new));
            if let Some(kept) = old.clone().filter(|old| fits(&old.spec, spec)) {
                opened(&kept, Origin::Kept);
                let _ = handle.0.set(kept);
                continue;
            }
            let new = Zone::create(spec.clone()).map_err(|errno| Refusal::NoMemory {
                name: name(),
                size: spec.size,
                errno,
            })?;
            let new = Rc::new(new);
            opened(&new, old.map_or(Origin::Fresh, Origin::Replaces));
            let _ = handle.0.set(new);
        }
        Ok(())
    }

    pub fn find(&self, name: &str) -> Option<&Rc<Zone>> {
        self.zones().find(|zone| zone.spec.name == name)
    }

    pub fn zones(&self) -> impl Iterator<Item = &Rc<Zone>> {
        self.declared.iter().filter_map(|(_, handle)| handle.zone())
    }

    /// Opens what `dead` had locked, and lets go what belonged to it; names each zone
    /// that it had locked.
    pub fn recover(&self, dead: Pid) -> impl Iterator<Item = (&str, Recovery)> {
        self.zones().filter_map(move |zone| {
            let recovery = zone.recover(dead);
            zone.forget(dead);
            Some((zone.spec.name.as_str(), recovery?))
        })
    }
}

impl<'a> Before<'a> {
    fn find(self, name: &str) -> (Option<&'a Rc<Zone>>, Option<&'a Left>) {
        match self {
            Before::Nothing => (None, None),
            Before::Directory(old) => (old.find(name), None),
            Before::Image(left) => (None, left.iter().find(|left| left.name == name)),
        }
    }
}

fn fits(old: &Spec, new: &Spec) -> bool {
    !new.noreuse
        && (old.size, old.owner, old.layout) == (new.size, new.owner, new.layout)
        && old.key == new.key
}

/// Why a zone cannot be had, in nginx's words.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    OtherUse { name: String },
    OtherSize { name: String, size: usize, known: usize },
    ZeroSize { name: String },
    NoMemory { name: String, size: usize, errno: Errno },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OtherUse { name } => {
                write!(
                    f,
                    "the shared memory zone \"{name}\" is already declared for a different use"
                )
            }
            Refusal::OtherSize { name, size, known } => write!(
                f,
                "the size {size} of shared memory zone \"{name}\" \
                 conflicts with already declared size {known}"
            ),
            Refusal::ZeroSize { name } => write!(f, "zero size shared memory zone \"{name}\""),
            Refusal::NoMemory { name, size, errno } => {
                write!(
                    f,
                    "memory of {size} bytes for shared memory zone \"{name}\" failed ({errno})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, size: usize) -> Spec {
        Spec {
            name: name.into(),
            size,
            owner: "test",
            key: "$remote_addr".into(),
            layout: 1,
            noreuse: false,
            verify: |_| true,
            forget: None,
        }
    }

    /// Opens one zone in place of one of 64 KiB; tells what became of that.
    fn reloaded(new: Spec) -> &'static str {
        let (mut old, mut directory) = (Directory::default(), Directory::default());
        old.declare(spec("one", 65536)).unwrap();
        old.open(Before::Nothing, |_, origin| assert!(matches!(origin, Origin::Fresh))).unwrap();
        directory.declare(new).unwrap();
        let mut what = "";
        directory
            .open(Before::Directory(&old), |zone, origin| {
                what = match origin {
                    Origin::Fresh => "fresh",
                    Origin::Kept => "kept",
                    Origin::Replaces(before) if before.spec.name == zone.spec.name => "replaces",
                    Origin::Replaces(_) => "confused",
                }
            })
            .unwrap();
        what
    }

    #[test]
    fn what_a_reload_keeps() {
        assert_eq!(reloaded(spec("one", 65536)), "kept");
        assert_eq!(reloaded(spec("two", 65536)), "fresh");
        assert_eq!(reloaded(spec("one", 131072)), "replaces");
        assert_eq!(reloaded(Spec { noreuse: true, ..spec("one", 65536) }), "replaces");
        assert_eq!(reloaded(Spec { key: "$uri".into(), ..spec("one", 65536) }), "replaces");
        assert_eq!(reloaded(Spec { owner: "other", ..spec("one", 65536) }), "replaces");
        assert_eq!(reloaded(Spec { layout: 2, ..spec("one", 65536) }), "replaces");
    }

    #[test]
    fn what_an_exec_keeps() {
        let mut old = Directory::default();
        old.declare(spec("one", 65536)).unwrap();
        old.open(Before::Nothing, |_, _| {}).unwrap();
        let one = old.find("one").unwrap();
        one.lock().unwrap().set_root(4096);
        let left = [Left::of(one)];
        let adopted = |spec: Spec| {
            let mut directory = Directory::default();
            directory.declare(spec).unwrap();
            directory.open(Before::Image(&left), |_, _| {}).unwrap();
            directory.find("one").unwrap().lock().unwrap().root()
        };
        assert_eq!(adopted(spec("one", 65536)), 4096);
        assert_eq!(adopted(spec("one", 131072)), 0);
        assert_eq!(adopted(Spec { key: "$uri".into(), ..spec("one", 65536) }), 0);
        assert_eq!(adopted(Spec { layout: 2, ..spec("one", 65536) }), 0);
    }

    #[test]
    fn declarations_agree_or_are_refused() {
        let mut directory = Directory::default();
        let one = directory.declare(Spec { key: String::new(), ..spec("one", 0) }).unwrap();
        assert!(directory.declare(spec("two", 65536)) != Ok(one.clone()));
        assert_eq!(directory.declare(spec("one", 65536)), Ok(one.clone()));
        assert_eq!(directory.declare(spec("one", 0)), Ok(one.clone()));
        let words = |refused: Result<Handle, Refusal>| refused.unwrap_err().to_string();
        assert_eq!(
            words(directory.declare(spec("one", 131072))),
            "the size 131072 of shared memory zone \"one\" \
             conflicts with already declared size 65536"
        );
        assert_eq!(
            words(directory.declare(Spec { owner: "other", ..spec("one", 65536) })),
            "the shared memory zone \"one\" is already declared for a different use"
        );
        assert!(one.zone().is_none());
        directory.open(Before::Nothing, |_, _| {}).unwrap();
        assert!(one.zone().is_some_and(|zone| zone.spec.size == 65536));
        assert!(one.zone().is_some_and(|zone| zone.spec.key == "$remote_addr"));
        assert!(directory.find("two").is_some() && directory.find("three").is_none());
        directory.declare(spec("three", 0)).unwrap();
        let refused = directory.open(Before::Nothing, |_, _| {}).unwrap_err();
        assert_eq!(refused.to_string(), "zero size shared memory zone \"three\"");
    }
}
