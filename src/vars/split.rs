//! `split_clients`: parts of all texts, each with a value of its own.

use super::{Subject, Value};
use crate::conf::{Cx, Error, Node, Template, VarId};
use crate::text::hash::murmur2;

/// What one `split_clients` block says.
pub struct Split {
    source: Template,
    /// Up to which hash, and the value.
    parts: Vec<(u32, Box<[u8]>)>,
}

/// Hundredths of a percent.
const WHOLE: u64 = 10_000;

impl Split {
    /// `split_clients SOURCE $NAME { ... }`: the variable, and what it is made of.
    pub fn read(cx: &mut Cx, node: Node) -> Result<(VarId, Split), Error> {
        let source = cx.template(node.arg(0))?;
        let id = cx.define(node.arg(1))?;
        let mut split = Split { source, parts: Vec::new() };
        let mut sum = 0;
        for line in node.block().into_iter().flatten() {
            match part(line) {
                Ok(percent) => {
                    // `*` is all that is left.
                    sum = percent.map_or(WHOLE, |percent| sum + percent);
                    let below = split.parts.last().map_or(0, |(to, _)| *to);
                    let share = |percent| (percent * u64::from(u32::MAX) / WHOLE) as u32;
                    let to =
                        percent.map_or(u32::MAX, |percent| below.saturating_add(share(percent)));
                    split.parts.push((to, line.arg(0).bytes().into()));
                }
                Err(error) => cx.report(line, Err(error)),
            }
            if sum > WHOLE {
                return Err(Error::at(line.name(), "percent total is greater than 100%"));
            }
        }
        Ok((id, split))
    }

    /// The value for what the source is at the moment.
    pub fn value<'r>(&'r self, subject: &impl Subject<'r>) -> Value<'r> {
        let hash = murmur2(subject.render(&self.source)?);
        let found = self.parts.iter().find(|(to, _)| hash < *to || *to == u32::MAX);
        Some(found.map_or(b"", |(_, value)| value))
    }
}

/// `12.34%` as 1234, `*` as `None`.
fn part(line: Node) -> Result<Option<u64>, Error> {
    let word = line.name();
    let invalid = || Error::at(word, format!("invalid percent value \"{word}\""));
    if line.block().is_some() {
        return Err(Error::at(word, "unexpected \"{\""));
    }
    if line.args_len() != 1 {
        return Err(Error::at(word, "invalid number of parameters"));
    }
    if word.bytes() == b"*" {
        return Ok(None);
    }
    let text = word.strip_suffix(b"%").ok_or_else(invalid)?;
    hundredths(text).filter(|percent| *percent > 0).map(Some).ok_or_else(invalid)
}

/// A number with at most two digits behind its point.
fn hundredths(text: &[u8]) -> Option<u64> {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, behind) = (text.get(..point)?, text.get(point + 1..).unwrap_or_default());
    let digits = whole.iter().chain(behind).chain(b"00".get(behind.len()..)?);
    digits.filter(|_| !text.is_empty()).try_fold(0_u64, |n, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}
