//! A list of rows as bytes.

/// A list that grows row by row. It is kept as its bytes, so that an index needs no more memory than its file has.
#[derive(Debug, Default)]
pub(super) struct GrowingList {
    pub(super) bytes: Vec<u8>,
    /// Rows in the list.
    pub(super) rows: u32,
    /// The first row that may come next.
    next: u32,
}

impl GrowingList {
    /// Adds a row behind all others, in which the word stands `times` times, at least once.
    pub(super) fn push(&mut self, row: u32, times: u32) {
        let passed = u64::from(row - self.next) << 1;
        write_number(&mut self.bytes, passed | u64::from(times == 1));
        if times > 1 {
            write_number(&mut self.bytes, u64::from(times));
        }
        self.rows += 1;
        self.next = row + 1;
    }
}

/// A place in a list.
pub(super) struct Postings<'a> {
    bytes: &'a [u8],
    /// Rows of the list from the present one on.
    left: u32,
    next: u64,
    /// Rows of the index.
    row_count: u64,
    row: usize,
    times: u32,
}

impl<'a> Postings<'a> {
    /// The first row of a list of `rows` rows in an index of `row_count`; `None` where the bytes are damaged.
    pub(super) fn begin(bytes: &'a [u8], rows: u32, row_count: usize) -> Option<Self> {
        let row_count = row_count as u64;
        let mut postings = Self { bytes, left: rows, next: 0, row_count, row: 0, times: 0 };
        postings.read()?;
        Some(postings)
    }

    /// The present row, and how often the word stands there; `None` behind the last one.
    pub(super) fn present(&self) -> Option<(usize, u32)> {
        (self.left > 0).then_some((self.row, self.times))
    }

    /// Goes on to the next row; `None` where the bytes are damaged.
    pub(super) fn advance(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        self.read()
    }

    fn read(&mut self) -> Option<()> {
        if self.left == 0 {
            return self.bytes.is_empty().then_some(());
        }
        let number = read_number(&mut self.bytes)?;
        let row = self.next + (number >> 1);
        let times = if number & 1 == 1 { 1 } else { read_number(&mut self.bytes)? };
        self.row = usize::try_from(row).ok().filter(|_| row < self.row_count)?;
        self.times = u32::try_from(times).ok()?;
        self.next = row + 1;
        Some(())
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A number of at most 35 bits.
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(list: &GrowingList, row_count: usize) -> Option<Vec<(usize, u32)>> {
        let mut postings = Postings::begin(&list.bytes, list.rows, row_count)?;
        let mut found = Vec::new();
        while let Some(present) = postings.present() {
            found.push(present);
            postings.advance()?;
        }
        Some(found)
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(
            rows in proptest::collection::btree_map(0_u32..u32::MAX, 1_u32..u32::MAX, 1..50)
        ) {
            let mut list = GrowingList::default();
            rows.iter().for_each(|(&row, &times)| list.push(row, times));
            let expected: Vec<_> = rows.into_iter().map(|(row, times)| (row as usize, times)).collect();
            prop_assert_eq!(read_back(&list, u32::MAX as usize), Some(expected));
        }

        #[test]
        fn damaged_bytes_are_told_or_read_within_bounds(
            bytes in proptest::collection::vec(any::<u8>(), 0..40), rows in 0_u32..60
        ) {
            let list = GrowingList { bytes, rows, next: 0 };
            if let Some(found) = read_back(&list, 1_000) {
                prop_assert_eq!(found.len(), rows as usize);
                prop_assert!(found.iter().all(|(row, _)| *row < 1_000));
            }
        }
    }

    #[test]
    fn a_row_beyond_the_index_and_bytes_left_over_are_damage() {
        let mut list = GrowingList::default();
        list.push(3, 1);
        list.push(7, 300);
        assert_eq!(list.bytes, [7, 6, 0xac, 2], "one byte for a word that stands there once");
        assert_eq!(read_back(&list, 8), Some(vec![(3, 1), (7, 300)]));
        assert_eq!(read_back(&list, 7), None);
        list.bytes.push(1);
        assert_eq!(read_back(&list, 8), None);
    }
}
