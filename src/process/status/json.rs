//! The status for programs. Names stay; new ones may come.

use std::fmt::{self, Display, Write};

use super::{Figures, Peer, Place, Shown};
use crate::shm::scoreboard::{Asked, Outcome, Slot, Totals};
use crate::text::escape;
use crate::text::writer::Writer;

pub struct Json<'a>(pub &'a Shown<'a>);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, board) = (self.0, self.0.board);
        write!(f, "{{\"master\":{}", Master(shown))?;
        write!(f, ",\"outcomes\":{{{}}}", joined(shown.outcomes().map(Named)))?;
        let listeners = shown.listeners().into_iter().map(|(address, sockets)| {
            format!("{{\"address\":{},\"sockets\":{sockets}}}", Quoted(&address))
        });
        write!(f, ",\"listeners\":[{}]", joined(listeners))?;
        let zones = shown.zones().map(|zone| {
            let (bytes, pages, free) = (zone.bytes, zone.pages, zone.free_pages);
            format!(
                "{{\"name\":{},\"bytes\":{bytes},\"pages\":{pages},\"free_pages\":{free},\
                 \"rebuilt\":{}}}",
                Quoted(&zone.name),
                zone.rebuilt
            )
        });
        write!(f, ",\"zones\":[{}]", joined(zones))?;
        let draining = shown.drained().into_iter().map(|drained| {
            let numbers = [
                ("generation", drained.generation),
                ("workers", drained.workers),
                ("connections", drained.connections),
            ];
            format!("{{{}}}", Numbers(&numbers))
        });
        write!(f, ",\"draining\":[{}]", joined(draining))?;
        let upstreams = shown.upstreams();
        let upstreams = upstreams.iter().map(|peers| upstream(peers));
        write!(f, ",\"upstreams\":[{}]", joined(upstreams))?;
        write!(f, ",\"totals\":{{{}}}", totals(&board.totals()))?;
        let processes = board.used().map(|(index, slot)| process(index, slot));
        writeln!(f, ",\"processes\":[{}]}}", joined(processes))
    }
}

struct Master<'a>(&'a Shown<'a>);

impl Display for Master<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = &self.0.board.master;
        let numbers = [
            ("pid", master.pid().unsigned_abs().into()),
            ("generation", master.generation.get()),
            ("started_ms", master.started_ms.get()),
            ("workers", master.workers_wanted.get()),
            ("reloads_refused", master.reloads_refused.get()),
        ];
        let (state, config) = (master.state().name(), master.config.get());
        write!(f, "{{\"state\":{},\"config\":{}", Quoted(state), Quoted(&config))?;
        write!(f, ",{}}}", Numbers(&numbers))
    }
}

/// `"reload":{…}`
struct Named((Asked, Outcome));

impl Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, Outcome { begun, ended, ended_ms, good, text }) = &self.0;
        let numbers = [("begun", *begun), ("ended", *ended), ("ended_ms", *ended_ms)];
        let (text, numbers) = (Quoted(text), Numbers(&numbers));
        write!(f, "\"{}\":{{\"good\":{good},\"text\":{text},{numbers}}}", asked.name())
    }
}

fn totals(totals: &Totals) -> String {
    let numbers = [
        ("accepted", totals.accepted),
        ("handled", totals.handled),
        ("requests", totals.requests),
        ("active", totals.active),
        ("reading", totals.reading),
        ("writing", totals.writing),
        ("waiting", totals.waiting),
    ];
    Numbers(&numbers).to_string()
}

fn upstream(peers: &[(&Place, &Peer)]) -> String {
    let Some((place, _)) = peers.first() else { return String::new() };
    let zone = match &*place.zone {
        "" => "null".to_string(),
        name => Quoted(name).to_string(),
    };
    let peers = joined(peers.iter().map(|(place, it)| peer(place, it)));
    format!("{{\"name\":{},\"zone\":{zone},\"peers\":[{peers}]}}", Quoted(&place.group))
}

fn peer(place: &Place, peer: &Peer) -> String {
    let texts =
        [("server", &*place.server), ("address", &*place.address), ("state", peer.state.name())];
    let texts = texts.map(|(name, text)| format!("\"{name}\":{}", Quoted(text)));
    let responses: Vec<_> =
        ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(peer.responses).collect();
    let numbers = [
        ("weight", peer.weight.into()),
        ("active", peer.active),
        ("requests", peer.requests),
        ("fails", peer.fails),
        ("received", peer.received),
        ("sent", peer.sent),
        ("header_us", peer.header_us),
        ("last_byte_us", peer.last_byte_us),
        ("processes", peer.processes),
        ("unavail_in", peer.unavail_in),
    ];
    let checks = peer.checks.map_or("null".to_string(), |it| {
        let numbers = [
            ("checks", it.checks.into()),
            ("fails", it.fails.into()),
            ("unhealthy", it.unhealthy.into()),
        ];
        let last = it.last_passed.map_or("null".to_string(), |passed| passed.to_string());
        format!("{{{},\"last_passed\":{last}}}", Numbers(&numbers))
    });
    format!(
        "{{{},\"backup\":{},{},\"responses\":{{{}}},\"health_checks\":{checks}}}",
        joined(texts.iter()),
        place.is_backup,
        Numbers(&numbers),
        Numbers(&responses)
    )
}

fn process(index: usize, slot: &Slot) -> String {
    let figures = Figures::of(slot);
    let numbers = [
        ("slot", index as u64),
        ("pid", slot.pid().unsigned_abs().into()),
        ("number", slot.number.get()),
        ("generation", slot.generation.get()),
        ("age_ms", figures.age.0),
        ("turned_ms", figures.turned.0),
        ("accepted", slot.accepted.get()),
        ("handled", slot.handled.get()),
        ("connections", slot.active.get()),
        ("reading", slot.reading.get()),
        ("writing", slot.writing.get()),
        ("idle", slot.idle.get()),
        ("kept", slot.kept.get()),
        ("requests", slot.requests.get()),
        ("handed_in", slot.handed_in.get()),
        ("handed_out", slot.handed_out.get()),
        ("log_drops", slot.log_drops.get()),
        ("cached_bytes", slot.cached_bytes.get()),
        ("allocations", figures.allocations),
        ("allocated_bytes", slot.allocated_bytes.get()),
    ];
    let (kind, state) = (Quoted(slot.kind().name()), Quoted(slot.state().name()));
    format!("{{\"kind\":{kind},\"state\":{state},{}}}", Numbers(&numbers))
}

/// `"a":1,"b":2`
struct Numbers<'a>(&'a [(&'a str, u64)]);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.iter().map(|(name, number)| format!("\"{name}\":{number}"));
        f.write_str(&joined(pairs))
    }
}

/// With commas between.
fn joined(items: impl Iterator<Item = impl Display>) -> String {
    let mut all = String::new();
    for item in items {
        all += if all.is_empty() { "" } else { "," };
        all += &item.to_string();
    }
    all
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = vec![0; escape::json_len(self.0.as_bytes())];
        let mut out = Writer::new(&mut room);
        escape::json(self.0.as_bytes(), &mut out);
        f.write_char('"')?;
        f.write_str(&String::from_utf8_lossy(out.written()))?;
        f.write_char('"')
    }
}
