//! Tiny files for tests, made as their formats say.

/// A zip file's local headers and data, stored.
pub(super) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(name, data)| [header(name, data.len(), 0), data.to_vec()].concat())
        .collect()
}

/// The same as a streaming writer makes it: sizes unknown in the header, written behind the data.
pub(super) fn zip_with_descriptors(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entry = |(name, data): &(&str, &[u8])| {
        [
            header(name, 0, 8),
            data.to_vec(),
            b"PK\x07\x08".to_vec(),
            vec![0; 12],
        ]
        .concat()
    };
    entries.iter().flat_map(entry).collect()
}

fn header(name: &str, size: usize, flags: u16) -> Vec<u8> {
    let size = u32::try_from(size).unwrap().to_le_bytes();
    let name_len = u16::try_from(name.len()).unwrap().to_le_bytes();
    [
        b"PK\x03\x04\x14\0",
        &flags.to_le_bytes()[..],
        &[0; 10],
        &size,
        &size,
        &name_len,
        &[0; 2],
        name.as_bytes(),
    ]
    .concat()
}

/// A compound file's header and a directory with one entry in the sector behind it.
pub(super) fn ole(class: u32, entry: &str) -> Vec<u8> {
    let mut file = vec![0; 1024];
    file[..8].copy_from_slice(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
    file[30] = 9;
    for (at, unit) in entry.encode_utf16().enumerate() {
        file[512 + 2 * at..][..2].copy_from_slice(&unit.to_le_bytes());
    }
    file[592..596].copy_from_slice(&class.to_le_bytes());
    file
}

/// The first bytes of a JPEG.
pub(super) const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
/// The first bytes of a PNG of one pixel.
pub(super) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
/// The first bytes of a Windows program.
pub(super) const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
