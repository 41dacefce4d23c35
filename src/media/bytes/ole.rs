//! Compound files (\[MS-CFB\]): Word, Excel, PowerPoint and Outlook before 2007, the newer ones
//! with a password, and Windows installers. The directory that tells them apart may be anywhere in
//! the file, so it is read only where the look-ahead holds it; otherwise the claim decides.

use super::detection::Detection;
use crate::media::table::MediaForm;

const MAGIC: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
const ENTRY_LEN: usize = 128;

/// What a compound file may be whose directory shows nothing. With a password a `docx` is one, too,
/// and which it is can only be seen in what is encrypted (\[MS-OFFCRYPTO\] 2.3); so may be an `xls`
/// with one.
const UNCERTAIN: &[MediaForm] = &[
    MediaForm::Ole,
    MediaForm::Word,
    MediaForm::Excel,
    MediaForm::Slides,
];

/// The type of a compound file.
pub(super) fn read(head: &[u8]) -> Option<Detection> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    Some(match directory(head).and_then(by_directory) {
        Some(essence) => Detection::only(essence),
        None => Detection::with_alternatives("application/x-ole-storage", UNCERTAIN),
    })
}

/// The directory's first sector, whose first entry is the root; further sectors of its chain
/// aren't followed.
fn directory(head: &[u8]) -> Option<&[u8]> {
    let shift = u16::from_le_bytes(*head.get(30..)?.first_chunk()?);
    let sector = u32::from_le_bytes(*head.get(48..)?.first_chunk()?);
    let size = 1usize.checked_shl(u32::from(shift))?;
    if !(512..=4096).contains(&size) {
        return None;
    }
    let start = size.checked_mul(usize::try_from(sector).ok()?.checked_add(1)?)?;
    let rest = head.get(start..)?;
    Some(&rest[..size.min(rest.len())])
}

fn by_directory(directory: &[u8]) -> Option<&'static str> {
    let class = directory.get(80..96)?;
    if let Some(essence) = by_class(class) {
        return Some(essence);
    }
    for entry in directory.chunks_exact(ENTRY_LEN) {
        if let Some(essence) = by_stream(&stream_name(entry)) {
            return Some(essence);
        }
    }
    None
}

/// By the class of the root, of which the first four bytes tell enough.
fn by_class(class: &[u8]) -> Option<&'static str> {
    Some(match u32::from_le_bytes(*class.first_chunk()?) {
        0x0002_0906 | 0x0002_0900 => "application/msword",
        0x0002_0810 | 0x0002_0820 => "application/vnd.ms-excel",
        0x6481_8D10 => "application/vnd.ms-powerpoint",
        0x0002_0D0B => "application/vnd.ms-outlook",
        0x000C_1082 | 0x000C_1084 | 0x000C_1086 => "application/x-msi",
        _ => return None,
    })
}

fn by_stream(name: &str) -> Option<&'static str> {
    Some(match name {
        "WordDocument" => "application/msword",
        "Workbook" | "Book" => "application/vnd.ms-excel",
        "PowerPoint Document" => "application/vnd.ms-powerpoint",
        "__nameid_version1.0" | "__properties_version1.0" => "application/vnd.ms-outlook",
        "VisioDocument" => "application/vnd.visio",
        _ => return None,
    })
}

/// A directory entry's name: UTF-16 in 64 bytes, ended by a zero.
fn stream_name(entry: &[u8]) -> String {
    let units = entry[..64]
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fixtures::ole;

    #[test]
    fn a_class_or_stream_identifies_a_document() {
        assert_eq!(
            read(&ole(0x0002_0906, "Root Entry")).unwrap(),
            Detection::only("application/msword")
        );
        assert_eq!(
            read(&ole(0, "Workbook")).unwrap(),
            Detection::only("application/vnd.ms-excel")
        );
    }

    #[test]
    fn an_installer_is_told_by_its_class() {
        assert_eq!(
            read(&ole(0x000C_1084, "Root Entry")).unwrap(),
            Detection::only("application/x-msi")
        );
    }

    #[test]
    fn without_its_directory_the_claim_decides() {
        let head = &ole(0x0002_0906, "Root Entry")[..600];
        assert_eq!(
            read(head).unwrap(),
            Detection::with_alternatives("application/x-ole-storage", UNCERTAIN)
        );
        assert_eq!(
            read(&head[..8]).unwrap(),
            Detection::with_alternatives("application/x-ole-storage", UNCERTAIN)
        );
    }

    #[test]
    fn for_a_document_with_a_password_the_claim_decides() {
        let mut file = ole(0, "Root Entry");
        file.extend(ole(0, "EncryptedPackage").split_off(512));
        assert_eq!(
            read(&file).unwrap(),
            Detection::with_alternatives("application/x-ole-storage", UNCERTAIN)
        );
    }
}
