//! Reads gzip: a member's head, its deflate blocks, its sum and size.
//!
//! What is read may be hostile. Memory is fixed, work is bounded by input and
//! output together, and whatever RFC 1951 and RFC 1952 do not allow is [`Bad`].
//! Strict as zlib: codes that are incomplete or say too much are refused, too. Only the
//! head's own sum, which nobody writes, is not looked at.
mod bits;
mod table;
mod window;

use super::alphabet::{DISTANCE_RANGES, END, LENGTHS};
use super::bits::Out;
use super::crc32::Crc32;
use super::trees::{FIXED_LITERALS, KIND_ORDER};
use super::{State, Step};
use bits::{Bits, Hungry};
use table::Table;
use window::Window;

/// Not gzip, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Most code lengths of a block: literals and distances.
const LENGTHS_MAX: usize = 286 + 30;

/// One member being read.
pub struct Inflate {
    window: Window,
    bits: Bits,
    stage: Stage,
    last: bool,
    lengths: [u8; LENGTHS_MAX],
    literals: Table,
    distances: Table,
    crc: Crc32,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The head's fixed part, in two pieces.
    Magic,
    Time {
        flags: u8,
    },
    /// The head's other parts, while their flags are set.
    Options {
        flags: u8,
    },
    Extra {
        flags: u8,
        left: usize,
    },
    Text {
        flags: u8,
    },
    Block,
    StoredLength,
    Stored {
        left: usize,
    },
    Numbers,
    Kinds {
        numbers: Numbers,
        at: usize,
    },
    Lengths {
        numbers: Numbers,
        at: usize,
    },
    Symbols,
    Copy {
        length: usize,
        distance: usize,
    },
    Sum,
    Size,
    End,
}

/// How many code lengths are told.
#[derive(Clone, Copy)]
struct Numbers {
    literals: usize,
    distances: usize,
    kinds: usize,
}

/// Flags of the head (RFC 1952 2.3.1).
const HEAD_SUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Why reading stops.
enum Stop {
    State(State),
    Bad,
}

const HUNGRY: Stop = Stop::State(State::Hungry);
const FULL: Stop = Stop::State(State::Full);

impl From<Hungry> for Stop {
    fn from(_: Hungry) -> Stop {
        HUNGRY
    }
}

impl From<Bad> for Stop {
    fn from(_: Bad) -> Stop {
        Stop::Bad
    }
}

impl Inflate {
    /// Allocates; good for one member at a time, see [`Inflate::reset`].
    pub fn new() -> Inflate {
        Inflate {
            window: Window::new(),
            bits: Bits::default(),
            stage: Stage::Magic,
            last: false,
            lengths: [0; LENGTHS_MAX],
            literals: Table::new(),
            distances: Table::new(),
            crc: Crc32::default(),
        }
    }

    /// Begins another member.
    pub fn reset(&mut self) {
        self.window.reset();
        self.bits = Bits::default();
        self.stage = Stage::Magic;
        self.crc = Crc32::default();
    }

    /// Reads `input` and writes to `room` until one is used up, or the member ends.
    /// Behind its end nothing is taken. Room behind what was written may be written to.
    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Bad> {
        let (mut rest, mut out) = (input, Out::new(room));
        let state = loop {
            match self.turn(&mut rest, &mut out) {
                Ok(next) => self.stage = next,
                Err(Stop::State(state)) => break state,
                Err(Stop::Bad) => return Err(Bad),
            }
        };
        self.crc.add(&out.room[..out.at]);
        self.window.keep(&out.room[..out.at]);
        Ok(Step { taken: input.len() - rest.len(), written: out.at, state })
    }

    /// One stage, and the one that follows.
    fn turn(&mut self, input: &mut &[u8], out: &mut Out) -> Result<Stage, Stop> {
        match self.stage {
            Stage::Magic => self.magic(input),
            Stage::Time { flags } => self.time(input, flags),
            Stage::Options { flags } => self.options(input, flags),
            Stage::Extra { flags, left } => skip(input, flags, left),
            Stage::Text { flags } => self.text(input, flags),
            Stage::Block => self.block(input),
            Stage::StoredLength => self.stored_length(input),
            Stage::Stored { left } => self.stored(input, out, left),
            Stage::Numbers => self.numbers(input),
            Stage::Kinds { numbers, at } => self.kinds(input, numbers, at),
            Stage::Lengths { numbers, at } => self.code_lengths(input, numbers, at),
            Stage::Symbols => self.symbols(input, out),
            Stage::Copy { length, distance } => self.copy(out, length, distance),
            Stage::Sum => self.sum(input, out),
            Stage::Size => self.size(input, out),
            Stage::End => Err(Stop::State(State::Done)),
        }
    }

    fn magic(&mut self, input: &mut &[u8]) -> Result<Stage, Stop> {
        let [0x1f, 0x8b, 8, flags] = (self.bits.next(input, 32)? as u32).to_le_bytes() else {
            return Err(Stop::Bad);
        };
        if flags & RESERVED != 0 { Err(Stop::Bad) } else { Ok(Stage::Time { flags }) }
    }

    /// The time, and what compressed it on what system: of no use here.
    fn time(&mut self, input: &mut &[u8], flags: u8) -> Result<Stage, Stop> {
        self.bits.next(input, 48)?;
        Ok(Stage::Options { flags })
    }

    /// What the head's flags announce, in this order.
    fn options(&mut self, input: &mut &[u8], flags: u8) -> Result<Stage, Stop> {
        if flags & EXTRA != 0 {
            let left = self.bits.next(input, 16)? as usize;
            return Ok(Stage::Extra { flags: flags & !EXTRA, left });
        }
        if flags & NAME != 0 {
            return Ok(Stage::Text { flags: flags & !NAME });
        }
        if flags & COMMENT != 0 {
            return Ok(Stage::Text { flags: flags & !COMMENT });
        }
        if flags & HEAD_SUM != 0 {
            self.bits.next(input, 16)?;
        }
        Ok(Stage::Block)
    }

    /// Text up to a NUL.
    fn text(&mut self, input: &mut &[u8], flags: u8) -> Result<Stage, Stop> {
        let end =
            if self.bits.next(input, 8)? == 0 { Stage::Options { flags } } else { self.stage };
        Ok(end)
    }

    fn block(&mut self, input: &mut &[u8]) -> Result<Stage, Stop> {
        let bits = self.bits.next(input, 3)?;
        self.last = bits & 1 == 1;
        match bits >> 1 {
            0 => Ok(Stage::StoredLength),
            1 => {
                self.literals.set(&FIXED_LITERALS, true)?;
                self.distances.set(&[5; 32], true)?;
                Ok(Stage::Symbols)
            }
            2 => Ok(Stage::Numbers),
            _ => Err(Stop::Bad),
        }
    }

    fn stored_length(&mut self, input: &mut &[u8]) -> Result<Stage, Stop> {
        self.bits.align();
        let bits = self.bits.next(input, 32)? as u32;
        let len = bits as u16;
        if (bits >> 16) as u16 != !len {
            Err(Stop::Bad)
        } else {
            Ok(Stage::Stored { left: len.into() })
        }
    }

    fn stored(&mut self, input: &mut &[u8], out: &mut Out, left: usize) -> Result<Stage, Stop> {
        if left == 0 {
            return Ok(self.next_block());
        }
        let len = out.copy(&input[..left.min(input.len())]);
        if len == 0 {
            return Err(if input.is_empty() { HUNGRY } else { FULL });
        }
        *input = &input[len..];
        Ok(Stage::Stored { left: left - len })
    }

    fn numbers(&mut self, input: &mut &[u8]) -> Result<Stage, Stop> {
        let bits = self.bits.next(input, 14)? as usize;
        let numbers = Numbers {
            literals: (bits & 31) + 257,
            distances: (bits >> 5 & 31) + 1,
            kinds: (bits >> 10) + 4,
        };
        if numbers.literals > 286 || numbers.distances > 30 {
            return Err(Stop::Bad);
        }
        self.lengths.fill(0);
        Ok(Stage::Kinds { numbers, at: 0 })
    }

    fn kinds(&mut self, input: &mut &[u8], numbers: Numbers, at: usize) -> Result<Stage, Stop> {
        let Some(&kind) = KIND_ORDER[..numbers.kinds].get(at) else {
            let kinds = self.lengths;
            self.literals.set(&kinds[..KIND_ORDER.len()], true)?;
            self.lengths.fill(0);
            return Ok(Stage::Lengths { numbers, at: 0 });
        };
        self.lengths[kind] = self.bits.next(input, 3)? as u8;
        Ok(Stage::Kinds { numbers, at: at + 1 })
    }

    /// One piece of the run-length coded code lengths.
    fn code_lengths(
        &mut self,
        input: &mut &[u8],
        numbers: Numbers,
        at: usize,
    ) -> Result<Stage, Stop> {
        let all = numbers.literals + numbers.distances;
        if at == all {
            return self.codes(numbers);
        }
        let (kind, used) = loop {
            let more = match self.literals.symbol(self.bits.word, self.bits.count)? {
                Some((kind, used)) => {
                    let extra = [2, 3, 7].get(kind.wrapping_sub(16)).copied().unwrap_or(0);
                    if used + extra <= self.bits.count {
                        break (kind, used);
                    }
                    self.bits.pull(input)
                }
                None => self.bits.pull(input),
            };
            more?;
        };
        self.bits.drop(used);
        let (length, times) = match kind {
            16 if at == 0 => return Err(Stop::Bad),
            16 => (self.lengths[at - 1], 3 + self.bits.held(2)),
            17 => (0, 3 + self.bits.held(3)),
            18 => (0, 11 + self.bits.held(7)),
            _ => (kind as u8, 1),
        };
        if at + times > all {
            return Err(Stop::Bad);
        }
        self.lengths[at..at + times].fill(length);
        Ok(Stage::Lengths { numbers, at: at + times })
    }

    fn codes(&mut self, numbers: Numbers) -> Result<Stage, Stop> {
        let (literals, distances) = self.lengths.split_at(numbers.literals);
        if literals[END] == 0 {
            return Err(Stop::Bad);
        }
        self.literals.set(literals, false)?;
        self.distances.set(&distances[..numbers.distances], false)?;
        Ok(Stage::Symbols)
    }

    /// Symbols up to the end of the block.
    fn symbols(&mut self, input: &mut &[u8], out: &mut Out) -> Result<Stage, Stop> {
        let all = *input;
        let end = loop {
            self.bits.refill(input);
            let Some((symbol, used)) = self.symbol()? else {
                self.bits.pull(input)?;
                continue;
            };
            match symbol {
                Symbol::Literal(byte) => {
                    let Some(room) = out.room.get_mut(out.at) else { break Err(FULL) };
                    *room = byte;
                    out.at += 1;
                    self.bits.drop(used);
                }
                Symbol::End => {
                    self.bits.drop(used);
                    break Ok(self.next_block());
                }
                Symbol::Copy { length, distance } => {
                    self.bits.drop(used);
                    if distance as u64 > self.window.total(out) {
                        return Err(Stop::Bad);
                    }
                    let left = self.window.copy(out, length, distance);
                    if left > 0 {
                        break Ok(Stage::Copy { length: left, distance });
                    }
                }
            }
        };
        self.bits.give_back(all, input);
        end
    }

    /// The next symbol with its extra bits, and how many bits it takes, if all are there.
    fn symbol(&self) -> Result<Option<(Symbol, u32)>, Bad> {
        let Some((symbol, mut used)) = self.literals.symbol(self.bits.word, self.bits.count)?
        else {
            return Ok(None);
        };
        if symbol < END {
            return Ok(Some((Symbol::Literal(symbol as u8), used)));
        }
        if symbol == END {
            return Ok(Some((Symbol::End, used)));
        }
        let range = LENGTHS.get(symbol - END - 1).ok_or(Bad)?;
        let length = usize::from(range.first) + low(self.bits.word >> used, range.extra);
        used += u32::from(range.extra);
        let bits_left = self.bits.count.saturating_sub(used);
        let Some((symbol, more)) = self.distances.symbol(self.bits.word >> used, bits_left)? else {
            return Ok(None);
        };
        used += more;
        let range = DISTANCE_RANGES.get(symbol).ok_or(Bad)?;
        let distance = usize::from(range.first) + low(self.bits.word >> used, range.extra);
        used += u32::from(range.extra);
        Ok((used <= self.bits.count).then_some((Symbol::Copy { length, distance }, used)))
    }

    fn copy(&mut self, out: &mut Out, length: usize, distance: usize) -> Result<Stage, Stop> {
        if out.left() == 0 {
            return Err(FULL);
        }
        match self.window.copy(out, length, distance) {
            0 => Ok(Stage::Symbols),
            left => Ok(Stage::Copy { length: left, distance }),
        }
    }

    fn next_block(&self) -> Stage {
        if self.last { Stage::Sum } else { Stage::Block }
    }

    fn sum(&mut self, input: &mut &[u8], out: &Out) -> Result<Stage, Stop> {
        self.bits.align();
        let sum = self.bits.next(input, 32)? as u32;
        let mut crc = self.crc;
        crc.add(&out.room[..out.at]);
        if sum == crc.value() { Ok(Stage::Size) } else { Err(Stop::Bad) }
    }

    fn size(&mut self, input: &mut &[u8], out: &Out) -> Result<Stage, Stop> {
        let size = self.bits.next(input, 32)? as u32;
        if size == self.window.total(out) as u32 { Ok(Stage::End) } else { Err(Stop::Bad) }
    }
}

enum Symbol {
    Literal(u8),
    End,
    Copy { length: usize, distance: usize },
}

fn low(bits: u64, count: u8) -> usize {
    (bits & ((1 << count) - 1)) as usize
}

/// Skips the head's extra field.
fn skip(input: &mut &[u8], flags: u8, left: usize) -> Result<Stage, Stop> {
    let len = left.min(input.len());
    *input = &input[len..];
    match left - len {
        0 => Ok(Stage::Options { flags }),
        _ if len == 0 => Err(HUNGRY),
        left => Ok(Stage::Extra { flags, left }),
    }
}
