//! `limpet -h directives`: the tables of REFERENCE.md, for a terminal.

use crate::proto::deflate::State;
use crate::proto::deflate::inflate::Inflate;

/// The titles and the rows, packed (build.rs).
const TABLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/directives.md.gz"));

fn tables() -> String {
    let (mut inflate, mut text, mut packed) = (Inflate::new(), Vec::new(), TABLES);
    let mut room = [0; 4096];
    while let Ok(step) = inflate.step(packed, &mut room) {
        text.extend_from_slice(&room[..step.written]);
        packed = &packed[step.taken..];
        if step.state != State::Full {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Every directive: its name, contexts and default, and what it is.
pub fn text() -> String {
    let (mut text, mut title) = (String::new(), None);
    for line in tables().lines() {
        if let Some(next) = line.strip_prefix("## ") {
            title = Some(next);
        } else if let Some([name, contexts, default, what]) = cells(line) {
            // Only of sections that have directives.
            if let Some(title) = title.take() {
                text += &format!("{title}\n\n");
            }
            let default = if default.is_empty() { "none" } else { default };
            text += &format!("  {name}\n      {what}\n");
            text += &format!("      default: {default}\n      context: {contexts}\n\n");
        }
    }
    text.replace('`', "")
}

/// The four cells of a directive's row.
fn cells(line: &str) -> Option<[&str; 4]> {
    let row = line.strip_prefix("| `")?.strip_suffix('|')?;
    let (name, rest) = row.split_once("` | ")?;
    let mut cells = rest.splitn(3, '|').map(str::trim);
    Some([name, cells.next()?, cells.next()?, cells.next()?])
}
