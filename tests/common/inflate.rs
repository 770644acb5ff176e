//! gzip undone (RFC 1951, RFC 1952): slowly, bit by bit, and by nothing of what is tested.
use std::collections::BTreeMap;

/// What a gzip stream of one member stands for; none if it is broken, or its length is wrong.
pub fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = bytes.get(..10)?;
    // No optional fields: no server here sends them.
    if head[..4] != [0x1f, 0x8b, 8, 0] {
        return None;
    }
    let mut bits = Bits { bytes: &bytes[10..], at: 0 };
    let text = inflate(&mut bits)?;
    let tail = bits.bytes.get(bits.at.div_ceil(8)..)?;
    let number = |at: usize| Some(u32::from_le_bytes(tail.get(at..at + 4)?.try_into().ok()?));
    let whole = tail.len() == 8 && number(4)? as usize == text.len() && number(0)? == crc(&text);
    whole.then_some(text)
}

fn crc(text: &[u8]) -> u32 {
    !text.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn symbol(&mut self, code: &Code) -> Option<usize> {
        let (mut bits, mut length) = (0, 0);
        while length < 15 {
            bits = bits << 1 | self.take(1)?;
            length += 1;
            if let Some(symbol) = code.get(&(length, bits)) {
                return Some(*symbol);
            }
        }
        None
    }
}

/// Symbols by length and bits.
type Code = BTreeMap<(usize, usize), usize>;

/// RFC 1951, 3.2.2: shorter codes come first, equal ones in the order of their symbols.
fn code(lengths: &[usize]) -> Code {
    let (mut code, mut bits) = (Code::new(), 0);
    for length in 1..=15 {
        bits <<= 1;
        for (symbol, _) in lengths.iter().enumerate().filter(|(_, own)| **own == length) {
            code.insert((length, bits), symbol);
            bits += 1;
        }
    }
    code
}

fn inflate(bits: &mut Bits) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(bits, &mut text)?,
            1 => {
                let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                coded(bits, &code(&lengths), &code(&[5; 30]), &mut text)?;
            }
            2 => {
                let (symbols, distances) = codes(bits)?;
                coded(bits, &symbols, &distances, &mut text)?;
            }
            _ => return None,
        }
        if last {
            return Some(text);
        }
    }
}

fn stored(bits: &mut Bits, text: &mut Vec<u8>) -> Option<()> {
    bits.at = bits.at.next_multiple_of(8);
    let (length, inverse) = (bits.take(16)?, bits.take(16)?);
    let from = bits.at / 8;
    text.extend(bits.bytes.get(from..from + length)?);
    bits.at += length * 8;
    (length ^ inverse == 0xffff).then_some(())
}

/// RFC 1951, 3.2.7: the two codes of a block, coded themselves.
fn codes(bits: &mut Bits) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (symbols, distances) = (bits.take(5)? + 257, bits.take(5)? + 1);
    let mut lengths = [0; 19];
    for place in ORDER.iter().take(bits.take(4)? + 4) {
        lengths[*place] = bits.take(3)?;
    }
    let inner = code(&lengths);
    let mut lengths = Vec::new();
    while lengths.len() < symbols + distances {
        let (length, count) = match bits.symbol(&inner)? {
            16 => (*lengths.last()?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, count));
    }
    let (symbols, distances) = lengths.split_at(symbols);
    Some((code(symbols), code(distances)))
}

fn coded(bits: &mut Bits, symbols: &Code, distances: &Code, text: &mut Vec<u8>) -> Option<()> {
    loop {
        match bits.symbol(symbols)? {
            byte @ ..256 => text.push(byte as u8),
            256 => return Some(()),
            symbol => {
                let length = length(symbol - 257, bits)?;
                let distance = distance(bits.symbol(distances)?, bits)?;
                for _ in 0..length {
                    text.push(*text.get(text.len().checked_sub(distance)?)?);
                }
            }
        }
    }
}

/// RFC 1951, 3.2.5: four codes for each number of further bits.
fn length(code: usize, bits: &mut Bits) -> Option<usize> {
    match code {
        ..8 => Some(code + 3),
        28 => Some(258),
        _ => Some(((4 + code % 4) << (code / 4 - 1)) + 3 + bits.take(code / 4 - 1)?),
    }
}

fn distance(code: usize, bits: &mut Bits) -> Option<usize> {
    match code {
        ..4 => Some(code + 1),
        _ => Some(((2 + code % 2) << (code / 2 - 1)) + 1 + bits.take(code / 2 - 1)?),
    }
}
