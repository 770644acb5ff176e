//! The status of a board that says a bit of everything.

use super::*;
use crate::mem::zone::Record;

#[test]
fn ages_have_two_units() {
    let cases = [
        (0, "0.000s"),
        (59_999, "59.999s"),
        (60_000, "1m 0s"),
        (3_599_999, "59m 59s"),
        (86_399_999, "23h 59m"),
        (90_000_000, "1d 1h"),
    ];
    for (ms, text) in cases {
        assert_eq!(Age(ms).to_string(), text);
    }
}

#[test]
fn a_board_as_table_and_as_json() {
    let board: &Board = Box::leak(Box::new(Board::ZERO));
    board.prepare(2, Kind::Worker, 0, 3);
    board.slots[2].requests.add(77);
    board.prepare(4, Kind::Worker, 1, 2);
    board.slots[4].set_state(State::ShuttingDown);
    board.slots[4].active.add(5);
    board.master.config.set("/etc/\"x\".conf");
    board.master.listeners.set("0.0.0.0:80 1\nunix:/a b 4\nnonsense");
    board.master.conclude(Asked::Reload, false, "reload failed: no");
    let zone = Seen { name: "one".into(), bytes: 32768, pages: 7, free_pages: 6, rebuilt: 0 };
    let shown = Shown { board, zones: vec![zone], peers: BTreeMap::new() };
    let table = table::Table(&shown).to_string();
    for line in [
        "last reload: reload failed: no, 0.0",
        "listening on 0.0.0.0:80, unix:/a b (4 sockets)\n",
        "zone one: 32 KiB, 14 % used\n",
        "draining: generation 2: 1 workers, 5 connections\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.starts_with("slot")).collect();
    assert!(rows[1].starts_with("   2  worker ") && rows[1].contains(" 77 "), "{table}");
    assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == rows[0].len()), "{table}");
    let json = json::Json(&shown).to_string();
    for part in [
        r#"{"master":{"state":"starting","config":"/etc/\"x\".conf","pid":0,"#,
        r#""outcomes":{"reload":{"good":false,"text":"reload failed: no","begun":0,"ended":0,"#,
        r#""listeners":[{"address":"0.0.0.0:80","sockets":1},{"address":"unix:/a b","sockets":4}]"#,
        r#""zones":[{"name":"one","bytes":32768,"pages":7,"free_pages":6,"rebuilt":0}]"#,
        r#""draining":[{"generation":2,"workers":1,"connections":5}]"#,
        r#"{"kind":"worker","state":"starting","slot":2,"pid":0"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    assert!(json.ends_with("}]}\n"));
}
