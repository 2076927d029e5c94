//! Categories hashed into a fixed number of columns: `FeatureHasher(input_type="string")`.

/// Adds 1 or −1 at the place that `column=value` hashes to, for every row and column; missing values add nothing.
/// `values[column][row]`; gives `width` columns.
pub(super) fn hashed(columns: &[String], values: &[&[Option<String>]], width: usize) -> Vec<Vec<f64>> {
    let rows = values.first().map_or(0, |column| column.len());
    let mut hashed = vec![vec![0.0; rows]; width];
    for (column, values) in columns.iter().zip(values) {
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let (place, sign) = place(&format!("{column}={value}"), width);
                hashed[place][row] += sign;
            }
        }
    }
    hashed
}

fn place(text: &str, width: usize) -> (usize, f64) {
    let hash = murmur3(text.as_bytes()) as i32;
    (hash.unsigned_abs() as usize % width, if hash >= 0 { 1.0 } else { -1.0 })
}

/// `MurmurHash3_x86_32` with seed 0, by Austin Appleby.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, rest) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0, |hash: u32, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash ^= mix(u32::from_le_bytes(last));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
