//! A name that a gateway gave, as a name on this machine.

use crate::body::multipart::file_name;
use crate::media::clean;

/// Most bytes of a name: what file systems take (255), less the endings of a partial file.
const LONGEST: usize = 240;

/// The name in a `Content-Disposition`: no path, nothing that hides the file, misleads, or looks
/// like an option. Where it has none, the id is the name.
pub(super) fn safe_name(disposition: &[u8], id: &str) -> String {
    let given = file_name(disposition).and_then(|name| clean(&name));
    let name = given.or_else(|| clean(id)).unwrap_or_default();
    let name = match name.strip_prefix('-') {
        Some(rest) => format!("_{rest}"),
        None => name,
    };
    let name = shortened(&name);
    if name.is_empty() {
        "download".to_owned()
    } else {
        name
    }
}

/// Cuts the stem, not the extension.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let extension = if extension.len() < 20 { extension } else { "" };
    let stem = name.floor_char_boundary(LONGEST - extension.len());
    format!("{}{extension}", &name[..stem])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_in_its_folder() {
        for (sent, name) in [
            ("attachment; filename=\"photo.png\"", "photo.png"),
            ("attachment; filename=\"../../.bashrc\"", "bashrc"),
            ("attachment; filename=\"/etc/passwd\"", "passwd"),
            ("attachment; filename=\"..\\\\..\\\\a.exe\"", "a.exe"),
            ("attachment; filename=\"-rf\"", "_rf"),
            (
                "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe%0A%1B[2J.pdf",
                "Grüße[2J.pdf",
            ),
            ("attachment; filename=\"..\"", "id-1"),
            ("attachment", "id-1"),
            ("", "id-1"),
        ] {
            assert_eq!(safe_name(sent.as_bytes(), "id-1"), name, "{sent}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension() {
        let sent = format!(
            "attachment; filename*=UTF-8''{}.pdf",
            "%E4%BD%A0".repeat(200)
        );
        let name = safe_name(sent.as_bytes(), "id-1");
        assert!(name.len() <= LONGEST && name.ends_with("你.pdf"), "{name}");
    }
}
