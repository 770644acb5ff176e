//! `geo`: values by address.

use super::ranges::{Added, Networks, Ranges, Spans, Which};
use crate::conf::{Cx, Error, Node, Shown, Word};
use crate::sys::addr::Ip;
use crate::text::hash::Build;
use crate::text::network::Network;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// What one `geo` block says.
pub struct Geo {
    v4: Ranges<u32>,
    /// `None`: `ranges`, which are of IPv4 only.
    v6: Option<Ranges<u128>>,
    values: Box<[Box<[u8]>]>,
    /// Whose word is taken for who is behind them.
    pub proxies: Box<[Network]>,
    pub recursive: bool,
}

impl Geo {
    /// Reads the lines of the block.
    pub fn read(cx: &mut Cx, node: Node) -> Geo {
        let mut reader = Reader::default();
        // What is nowhere in the block.
        reader.values.push(Box::default());
        for line in node.block().into_iter().flatten() {
            let done = reader.line(cx, line);
            cx.report(line, done);
        }
        reader.finish()
    }

    /// The value of an address. What has none counts as 255.255.255.255 (nginx).
    pub fn find(&self, ip: Option<Ip>) -> Option<&[u8]> {
        let which = match (ip.map(Ip::canonical), &self.v6) {
            (Some(Ip::V4(ip)), _) => self.v4.find(ip.to_bits()),
            (Some(Ip::V6(ip)), Some(v6)) => v6.find(ip.to_bits()),
            _ => self.v4.find(u32::MAX),
        };
        self.values.get(which as usize).map(|value| &**value)
    }
}

/// A block that is being read.
#[derive(Default)]
struct Reader {
    v4: Networks,
    v6: Networks,
    /// `ranges` instead of networks.
    spans: Option<Spans>,
    /// An address has been there.
    begun: bool,
    has_default: bool,
    values: Vec<Box<[u8]>>,
    by_text: HashMap<Box<[u8]>, Which, Build>,
    proxies: Vec<Network>,
    recursive: bool,
}

impl Reader {
    fn line(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        let key = line.name();
        if line.block().is_some() {
            return Err(Error::at(key, "unexpected \"{\""));
        }
        match (key.bytes(), line.args_len()) {
            (b"ranges", 0) if self.begun => {
                let text =
                    "the \"ranges\" directive must be the first directive inside \"geo\" block";
                return Err(Error::at(key, text));
            }
            (b"ranges", 0) => self.spans = Some(Spans::default()),
            (b"proxy_recursive", 0) => self.recursive = true,
            (b"proxy", 1) => {
                let network = network(cx, line.arg(0))?;
                self.proxies.push(Network::Ip(network.0, network.1));
            }
            (_, 1) => {
                self.begun = true;
                match self.spans.is_some() {
                    true => self.range(cx, line)?,
                    false => self.network(cx, line)?,
                }
            }
            _ => return Err(Error::at(key, "invalid number of the geo parameters")),
        }
        Ok(())
    }

    /// The number of a value.
    fn value(&mut self, text: &[u8]) -> Which {
        if let Some(which) = self.by_text.get(text) {
            return *which;
        }
        let which = self.values.len() as Which;
        self.values.push(text.into());
        self.by_text.insert(text.into(), which);
        which
    }

    fn shown(&self, which: Which) -> Shown<'_> {
        Shown(self.values.get(which as usize).map_or(b"", |value| &**value))
    }

    fn network(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        let (key, value) = (line.name(), line.arg(0));
        if key.bytes() == b"default" {
            let which = self.value(&value);
            let old = [self.v4.insert(0, 0, which), self.v6.insert(0, 0, which)];
            old.into_iter().flatten().for_each(|old| self.tell_again(cx, key, which, old));
            return Ok(());
        }
        let is_gone = key.bytes() == b"delete";
        let word = if is_gone { value } else { key };
        let (ip, bits) = network(cx, word)?;
        let which = if is_gone { 0 } else { self.value(&value) };
        let (networks, start) = match ip {
            IpAddr::V4(ip) => (&mut self.v4, ip.to_bits().into()),
            IpAddr::V6(ip) => (&mut self.v6, ip.to_bits()),
        };
        if is_gone {
            if !networks.remove(start, bits) {
                cx.warn(word, format!("no network \"{word}\" to delete"));
            }
        } else if let Some(old) = networks.insert(start, bits, which) {
            self.tell_again(cx, word, which, old);
        }
        Ok(())
    }

    fn tell_again(&self, cx: &mut Cx, word: Word, which: Which, old: Which) {
        let what = if self.spans.is_some() { "range" } else { "network" };
        let (new, old) = (self.shown(which), self.shown(old));
        let text = format!("duplicate {what} \"{word}\", value: \"{new}\", old value: \"{old}\"");
        cx.warn(word, text);
    }

    fn range(&mut self, cx: &mut Cx, line: Node) -> Result<(), Error> {
        let (key, value) = (line.name(), line.arg(0));
        if key.bytes() == b"default" {
            // In place of the value that is everywhere else.
            let old = std::mem::replace(&mut self.values[0], value.bytes().into());
            if std::mem::replace(&mut self.has_default, true) {
                let text = "duplicate default geo range value";
                let old = Shown(&old);
                cx.warn(key, format!("{text}: \"{value}\", old value: \"{old}\""));
            }
            return Ok(());
        }
        let is_gone = key.bytes() == b"delete";
        let word = if is_gone { value } else { key };
        let invalid = || Error::at(word, format!("invalid range \"{word}\""));
        let (start, end) = ends(&word).ok_or_else(invalid)?;
        let which = if is_gone { 0 } else { self.value(&value) };
        let Some(spans) = &mut self.spans else { return Ok(()) };
        if is_gone {
            if !spans.remove(start, end) {
                cx.warn(word, format!("no address range \"{word}\" to delete"));
            }
            return Ok(());
        }
        match spans.insert(start, end, which) {
            Added::New => {}
            Added::Again(old) => self.tell_again(cx, word, which, old),
            Added::Overlaps(first, last) => {
                let (first, last) = (Ipv4Addr::from(first), Ipv4Addr::from(last));
                let text = format!("range \"{word}\" overlaps \"{first}-{last}\"");
                return Err(Error::at(word, text));
            }
        }
        Ok(())
    }

    fn finish(self) -> Geo {
        let (v4, v6) = match self.spans {
            Some(spans) => (spans.finish(), None),
            None => {
                (self.v4.finish(32, |start| start as u32), Some(self.v6.finish(128, |start| start)))
            }
        };
        let (values, proxies) = (self.values.into(), self.proxies.into());
        Geo { v4, v6, values, proxies, recursive: self.recursive }
    }
}

fn network(cx: &mut Cx, word: Word) -> Result<(IpAddr, u8), Error> {
    match cx.network(word) {
        Some(Network::Ip(ip, bits)) => Ok((ip, bits)),
        _ => Err(Error::at(word, format!("invalid network \"{word}\""))),
    }
}

/// `1.2.3.4-5.6.7.8`
fn ends(text: &[u8]) -> Option<(u32, u32)> {
    let (start, end) = std::str::from_utf8(text).ok()?.split_once('-')?;
    let bits = |text: &str| text.parse().map(Ipv4Addr::to_bits).ok();
    let (start, end) = (bits(start)?, bits(end)?);
    (start <= end).then_some((start, end))
}
