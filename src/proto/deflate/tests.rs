//! What the coder writes, the decoder reads; what others wrote, too.
use super::inflate::{Bad, Inflate};
use super::{Coder, Flush, State};

/// Bytes that repeat themselves more or less, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() % end
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let words = ["<div class=\"", "item", " ", "limpet", "\">", "the ", "</div>\n", "a", "  "];
        let mut text = Vec::new();
        while text.len() < len {
            match self.below(12) {
                0 => text.push(self.next() as u8),
                n => text.extend_from_slice(words[n % words.len()].as_bytes()),
            }
        }
        text.truncate(len);
        text
    }
}

/// All of `bytes` through the coder, in pieces of these sizes.
fn pack(coder: &mut Coder, level: u8, bytes: &[u8], cut: usize, room: usize) -> Vec<u8> {
    coder.reset(level, Some(bytes.len() as u64));
    pack_on(coder, bytes, cut, room, Flush::Finish)
}

fn pack_on(coder: &mut Coder, bytes: &[u8], cut: usize, room: usize, flush: Flush) -> Vec<u8> {
    let (mut packed, mut at, mut out) = (Vec::new(), 0, vec![0; room]);
    loop {
        let end = (at + cut).min(bytes.len());
        let how = if end == bytes.len() { flush } else { Flush::No };
        let step = coder.step(&bytes[at..end], &mut out, how);
        at += step.taken;
        packed.extend_from_slice(&out[..step.written]);
        match step.state {
            State::Done => return packed,
            State::Hungry if at == bytes.len() => return packed,
            State::Hungry => assert_eq!(at, end),
            State::Full => assert_eq!(step.written, room),
        }
    }
}

/// All that `packed` holds, read in pieces of these sizes, and what was not read.
fn unpack(packed: &[u8], cut: usize, room: usize) -> Result<(Vec<u8>, usize, State), Bad> {
    let mut inflate = Inflate::new();
    let (mut bytes, mut at, mut out) = (Vec::new(), 0, vec![0; room]);
    loop {
        let end = (at + cut).min(packed.len());
        let step = inflate.step(&packed[at..end], &mut out)?;
        at += step.taken;
        bytes.extend_from_slice(&out[..step.written]);
        match step.state {
            State::Full => assert_eq!(step.written, room),
            State::Hungry if end < packed.len() => assert_eq!(at, end),
            state => return Ok((bytes, packed.len() - at, state)),
        }
    }
}

fn samples() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut samples = vec![vec![], vec![b'x'], b"abc".to_vec(), vec![0; 100_000]];
    for len in [5, 300, 5_000, 70_000] {
        samples.push(random.bytes(len));
        samples.push(random.text(len));
    }
    // The same at distances around the longest.
    for gap in [32_700, 32_766, 32_767, 32_768, 65_536] {
        let mut sample = random.text(300);
        sample.extend(random.bytes(gap - 300));
        sample.extend_from_within(..300);
        samples.push(sample);
    }
    // Blocks of all kinds in turn.
    let mut mixed = Vec::new();
    for _ in 0..3 {
        mixed.extend(random.bytes(15_000));
        mixed.extend(random.text(15_000));
    }
    samples.push(mixed);
    samples
}

#[test]
fn what_is_packed_can_be_unpacked() {
    let mut coder = Coder::new();
    for (i, sample) in samples().iter().enumerate() {
        for level in 1..=9 {
            let packed = pack(&mut coder, level, sample, usize::MAX / 2, 1 << 16);
            let (bytes, left, state) = unpack(&packed, packed.len(), 1 << 16).unwrap();
            assert!(bytes == *sample, "sample {i}, level {level}");
            assert_eq!((left, state), (0, State::Done));
            // Stored blocks cost five bytes each, and hold a block's symbols at least.
            assert!(packed.len() <= sample.len() + 18 + 5 * (1 + sample.len() / 8192), "{i}");
        }
    }
}

#[test]
fn pieces_do_not_matter() {
    let mut coder = Coder::new();
    let sample = Random(3).text(40_000);
    for level in [1, 3, 6] {
        let whole = pack(&mut coder, level, &sample, usize::MAX / 2, 1 << 16);
        for (cut, room) in [(1, 1000), (999, 1), (32_768, 7), (5_000, 8), (33_000, 100)] {
            let packed = pack(&mut coder, level, &sample, cut, room);
            assert!(packed == whole, "level {level}, cut {cut}, room {room}");
            let (bytes, left, _) = unpack(&packed, cut, room).unwrap();
            assert!((bytes == sample) && left == 0);
        }
    }
}

#[test]
fn a_size_that_is_wrong_does_no_harm() {
    let mut coder = Coder::new();
    let sample = Random(5).text(90_000);
    for level in [1, 6] {
        for size in [None, Some(0), Some(1), Some(20_000), Some(u64::MAX)] {
            coder.reset(level, size);
            let packed = pack_on(&mut coder, &sample, 10_000, 10_000, Flush::Finish);
            let (bytes, left, _) = unpack(&packed, 10_000, 10_000).unwrap();
            assert!((bytes == sample) && left == 0, "level {level}, size {size:?}");
        }
    }
}

#[test]
fn a_flush_lets_the_reader_go_on() {
    let mut coder = Coder::new();
    for level in [1, 6] {
        coder.reset(level, None);
        let (mut packed, mut all) = (Vec::new(), Vec::new());
        for part in [&b"first"[..], b"", b" second", &[b'.'; 3_000]] {
            packed.extend(pack_on(&mut coder, part, 100, 3, Flush::Sync));
            all.extend_from_slice(part);
            let (bytes, left, state) = unpack(&packed, 10, 10_000).unwrap();
            assert_eq!((bytes.len(), left, state), (all.len(), 0, State::Hungry));
            assert!(packed.ends_with(&[0, 0, 0xff, 0xff]));
            // Once is enough.
            assert!(pack_on(&mut coder, b"", 1, 10, Flush::Sync).is_empty());
        }
        packed.extend(pack_on(&mut coder, b"", 1, 2, Flush::Finish));
        let (bytes, _, state) = unpack(&packed, 10, 10_000).unwrap();
        assert!(bytes == all && state == State::Done);
    }
}

#[test]
fn a_known_stream() {
    let mut coder = Coder::new();
    let packed = pack(&mut coder, 6, b"hello hello hello hello\n", 100, 100);
    let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    assert_eq!(packed[..10], *head);
    let (bytes, left, _) = unpack(&packed, 100, 100).unwrap();
    assert_eq!((&bytes[..], left), (&b"hello hello hello hello\n"[..], 0));
}

#[test]
fn heads_with_options_are_read() {
    let packed = pack(&mut Coder::new(), 1, b"abc", 9, 99);
    for (flags, options) in [
        (1, &b""[..]),
        (4, b"\x03\0xyz"),
        (8, b"name\0"),
        (16, b"comment\0"),
        (2, b"\x12\x34"),
        (31, b"\0\0name\0comment\0\x12\x34"),
    ] {
        let mut changed = packed[..10].to_vec();
        changed[3] = flags;
        changed.extend_from_slice(options);
        changed.extend_from_slice(&packed[10..]);
        let (bytes, left, state) = unpack(&changed, 1, 9).unwrap();
        assert_eq!((&bytes[..], left, state), (&b"abc"[..], 0, State::Done), "{flags}");
    }
}

#[test]
fn what_follows_a_member_is_left_alone() {
    let mut packed = pack(&mut Coder::new(), 1, b"abc", 9, 99);
    packed.extend_from_slice(b"more");
    let (_, left, state) = unpack(&packed, 99, 9).unwrap();
    assert_eq!((left, state), (4, State::Done));
}

#[test]
fn bad_streams() {
    let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    for (name, body) in [
        ("reserved kind of block", &b"\x07"[..]),
        ("stored length that does not agree", b"\x01\x01\0\0\0"),
        ("too many literals", b"\xfd\xff\xff"),
        ("code with strings to spare", b"\x05\0\xff\xff\xff\xff\xff\xff\xff"),
        ("code with too many strings", b"\x05\0\x92\x24\x49"),
        ("distance before the start", b"\x03\x02\0\0"),
        ("wrong sum", b"\x03\0\x01\0\0\0\0\0\0\0"),
        ("wrong size", b"\x03\0\0\0\0\0\x01\0\0\0"),
    ] {
        let stream = [&head[..], body].concat();
        assert_eq!(unpack(&stream, 99, 99).map(|_| ()), Err(Bad), "{name}");
    }
    for head in [&b"\x1f\x8c\x08\0"[..], b"\x1f\x8b\x07\0", b"\x1f\x8b\x08\x20", b"plain"] {
        assert_eq!(unpack(head, 9, 9).map(|_| ()), Err(Bad));
    }
}

#[test]
fn damage_is_found_and_harms_nobody() {
    let mut random = Random(11);
    let mut coder = Coder::new();
    let sample = random.text(3_000);
    for level in [1, 6] {
        let packed = pack(&mut coder, level, &sample, 4_000, 4_000);
        for _ in 0..1_000 {
            let mut damaged = packed.clone();
            for _ in 0..1 + random.below(3) {
                let at = 10 + random.below(packed.len() - 10);
                damaged[at] ^= 1 << random.below(8);
            }
            // Padding may be damaged without harm.
            let read = unpack(&damaged, 500, 500);
            assert!(!matches!(read, Ok((bytes, _, State::Done)) if bytes != sample));
        }
    }
}
