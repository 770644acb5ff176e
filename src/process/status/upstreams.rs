//! Upstreams, for people: a table for each group, as wide as what stands in it.

use std::fmt;

use super::{Peer, Place};
use crate::net::upstream::seen::State;

const HEADS: [&str; 15] = [
    "peer", "state", "weight", "active", "requests", "fails", "1xx", "2xx", "3xx", "4xx", "5xx",
    "received", "sent", "header", "checks",
];
/// Texts; the others are numbers, which end in one line.
const TEXTS: usize = 2;

type Row = [String; HEADS.len()];

pub fn put(f: &mut fmt::Formatter<'_>, peers: &[(&Place, &Peer)]) -> fmt::Result {
    let Some((place, _)) = peers.first() else { return Ok(()) };
    write!(f, "\nupstream {}", place.group)?;
    f.write_str(if place.zone.is_empty() { "" } else { ", zone " })?;
    writeln!(f, "{}", place.zone)?;
    let heads = [HEADS.map(String::from)];
    let rows: Vec<Row> =
        heads.into_iter().chain(peers.iter().map(|(place, peer)| row(place, peer))).collect();
    let widths: [usize; HEADS.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            match column {
                ..TEXTS => write!(f, "  {cell:<width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
        f.write_str("\n")?;
    }
    Ok(())
}

fn row(place: &Place, peer: &Peer) -> Row {
    let number = |number: u64| number.to_string();
    let [informed, good, redirected, refused, failed] = peer.responses.map(number);
    [
        place.address.clone(),
        state(place, peer),
        peer.weight.to_string(),
        number(peer.active),
        number(peer.requests),
        number(peer.fails),
        informed,
        good,
        redirected,
        refused,
        failed,
        bytes(peer.received),
        bytes(peer.sent),
        millis(peer.header_us),
        checks(peer),
    ]
}

/// `unavail in 1 of 2, backup`
fn state(place: &Place, peer: &Peer) -> String {
    let (out, all) = (peer.unavail_in, peer.processes);
    let mut text = peer.state.name().to_string();
    if peer.state == State::Unavail && out < all {
        text += &format!(" in {out} of {all}");
    }
    if place.is_backup {
        text += ", backup";
    }
    text
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x2800 => format!("{bytes}"),
        0x2800..0xa0_0000 => format!("{} KiB", bytes >> 10),
        0xa0_0000..0x2_8000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn millis(micros: u64) -> String {
    match micros {
        0 => "-".into(),
        _ => format!("{} ms", micros / 1000),
    }
}

/// How many have failed, of all.
fn checks(peer: &Peer) -> String {
    match peer.checks {
        None => "-".into(),
        Some(it) => format!("{} of {} failed", it.fails, it.checks),
    }
}
