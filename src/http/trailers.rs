//! What stands behind the last chunk of a body, kept as it comes: of a client's request until
//! its upstream has had all before it, of an upstream's answer until the client has.

use crate::mem::buffers::Scratch;
use crate::proto::chunked::{Bad, Decoder};
use std::cell::Cell;

/// A section of trailers, in room of its request.
pub struct Section<'r> {
    scratch: &'r Scratch,
    /// No section is longer.
    most: usize,
    room: Cell<&'r mut [u8]>,
    filled: Cell<usize>,
    /// All of it, once it is there.
    whole: Cell<&'r [u8]>,
}

impl<'r> Section<'r> {
    pub fn new(scratch: &'r Scratch, most: u64) -> Section<'r> {
        Section {
            scratch,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            room: Cell::default(),
            filled: Cell::new(0),
            whole: Cell::default(),
        }
    }

    /// Takes what of the bytes behind a body's data belongs to it; says how much that is.
    fn take(&self, decoder: &mut Decoder, fresh: &[u8]) -> Result<usize, Bad> {
        if fresh.is_empty() || !decoder.is_at_trailers() {
            return Ok(0);
        }
        let (used, is_all) = decoder.trailers(fresh)?;
        let (start, end) = (self.filled.get(), self.filled.get() + used);
        let room = match self.room.take() {
            [] => {
                let most = if is_all { used.min(self.most) } else { self.most };
                self.scratch.take(most).ok_or(Bad)?
            }
            room => room,
        };
        let (fresh, place) = (fresh.get(..used), room.get_mut(start..end));
        place.ok_or(Bad)?.copy_from_slice(fresh.unwrap_or_default());
        self.filled.set(end);
        if is_all {
            let room: &'r [u8] = room;
            self.whole.set(room.get(..end).unwrap_or_default());
        } else {
            self.room.set(room);
        }
        Ok(used)
    }

    /// All of it, or nothing as long as it has not come whole.
    pub fn bytes(&self) -> &'r [u8] {
        self.whole.get()
    }
}

/// What reads the chunks that a section may follow.
pub fn decoder(section: Option<&Section<'_>>) -> Decoder {
    match section {
        Some(_) => Decoder::keeping_trailers(),
        None => Decoder::new(),
    }
}

/// Takes apart bytes of a chunked body, the data of which is moved to the front: how long that
/// is, and how many bytes belong to the body or the section behind it.
pub fn decode(
    decoder: &mut Decoder,
    bytes: &mut [u8],
    section: Option<&Section<'_>>,
) -> Result<(usize, usize), Bad> {
    let (kept, used) = decoder.decode(bytes)?;
    let behind = bytes.get(used..).unwrap_or_default();
    let more = section.map_or(Ok(0), |section| section.take(decoder, behind))?;
    Ok((kept, used + more))
}
