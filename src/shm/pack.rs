//! Numbers and byte strings one behind the other, for the next image of this program.
//!
//! The reader believes nothing: what is cut off or too long is None.

#[derive(Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    /// How many there are, then each.
    pub fn list<T>(
        &mut self,
        list: impl ExactSizeIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.number(list.len() as u64);
        list.for_each(|item| each(self, item));
        self
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        u64::from_le_bytes(*number).try_into().ok()
    }

    pub fn flag(&mut self) -> Option<bool> {
        Some(self.number::<u64>()? != 0)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len: usize = self.number()?;
        // Every item has a number at least: a list cannot be longer than what is left.
        (len <= self.0.len()).then(|| (0..len).map(|_| each(self)).collect())?
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_and_nothing_that_was_cut() {
        let mut packer = Packer::default();
        packer.number(7).bytes(b"seven").list([1_u64, 2].into_iter(), |packer, number| {
            packer.number(number);
        });
        let bytes = packer.into_bytes();
        let read = |bytes: &[u8]| {
            let mut unpacker = Unpacker::new(bytes);
            let seven: u8 = unpacker.number()?;
            let name = unpacker.bytes()?.to_vec();
            let list: Vec<u64> = unpacker.list(Unpacker::number)?;
            unpacker.is_empty().then_some((seven, name, list))
        };
        assert_eq!(read(&bytes), Some((7, b"seven".to_vec(), vec![1, 2])));
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Unpacker::new(&[0xff; 64]).list(Unpacker::number::<u64>), None);
        assert_eq!(Unpacker::new(&[0xff; 8]).number::<u8>(), None);
    }
}
