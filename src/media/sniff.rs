//! The bytes have the first word on the type, and the caller's claims choose among what they leave
//! open.

use std::borrow::Cow;

use super::bytes::{self, Detection};
use super::extension::{extension_of, is_known, is_listed};
use super::restricted_name::is_restricted_name;
use super::table::{self, MediaForm, MediaRow};

const OCTET_STREAM: &str = "application/octet-stream";
const PLAIN_TEXT: &str = "text/plain";

/// Declared types that say nothing: what clients send when they don't know.
const UNDECLARED: &[&str] = &[
    OCTET_STREAM,
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "binary/octet-stream",
    "application/binary",
    "application/unknown",
    "application/x-download",
    "application/force-download",
];

/// Families that channels allow as a whole (`image/*`). A member that nobody has heard of, with
/// bytes that nobody knows, isn't believed to be of the family.
const TRUSTED_FAMILIES: &[&str] = &["image", "audio", "video", "font", "multipart", "message"];

/// The type of a file, as its bytes and the caller's claims have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniffedType {
    essence: Cow<'static, str>,
    found: Detection,
    charset: Option<Cow<'static, str>>,
    contradicts_declared: bool,
}

/// Tells the type of a file.
///
/// `head` is the look-ahead, at most 64 KiB of it useful; `is_whole_file` says that it is the
/// entire file. `declared` is the `Content-Type` of the part or request, parameters and all; types
/// such as `application/octet-stream` count as undeclared. Of `name` only the extension matters.
///
/// Bytes that have a signature are what it says, whatever the claims. Where they leave a choice
/// (text, zip, old Office files, sound or film in one container) a claim that fits decides. A
/// claim to a type that has a signature is not believed without it.
pub fn sniff(
    head: &[u8],
    is_whole_file: bool,
    declared: Option<&str>,
    name: Option<&str>,
) -> SniffedType {
    let found = bytes::read(head, is_whole_file);
    let declared_charset = declared.and_then(parse_charset);
    let declared = declared.and_then(parse_declared);
    let extension = name.and_then(extension_of);
    let essence = choose(&found, declared.as_deref(), extension.as_deref());
    let contradicts_declared = match declared {
        Some(declared) => declared != essence && contradicts(&found, &declared),
        None => false,
    };
    let is_text = essence.starts_with("text/");
    let charset = if is_text {
        found.charset.or_declared(declared_charset.as_deref())
    } else {
        None
    };
    SniffedType {
        essence,
        found,
        charset,
        contradicts_declared,
    }
}

impl SniffedType {
    /// The type without parameters, lower case: what policy matches.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The type as a `Content-Type`, with `codecs` where the bytes tell it
    /// (`audio/ogg;codecs=opus`), and a text's `charset` where they or the caller tell it.
    pub fn content_type(&self) -> String {
        match (self.found.codecs, &self.charset) {
            (Some(codecs), _) => format!("{};codecs={codecs}", self.essence),
            (_, Some(charset)) => format!("{}; charset={charset}", self.essence),
            (None, None) => self.essence.clone().into_owned(),
        }
    }

    /// Whether a file of this type is made to run: it is one of [`EXECUTABLE_PATTERNS`].
    ///
    /// [`EXECUTABLE_PATTERNS`]: table::EXECUTABLE_PATTERNS
    pub fn is_executable(&self) -> bool {
        self.row().is_some_and(MediaRow::is_executable)
    }

    /// Whether the caller declared a type that the bytes can't have.
    pub fn contradicts_declared(&self) -> bool {
        self.contradicts_declared
    }

    /// The extension of a file of this type that has none, lower case, no dot.
    pub(super) fn extension(&self) -> &'static str {
        match self.row() {
            Some(row) => row.extension(),
            None => table::row(OCTET_STREAM).extension(),
        }
    }

    /// Whether the extension means this type.
    pub(super) fn is_meant_by(&self, extension: &str) -> bool {
        self.row().is_some_and(|row| row.has(extension))
    }

    /// Whether a file of this type may have the extension: it means the type, or nobody knows it
    /// and the type is as vague.
    pub(super) fn accepts(&self, extension: &str) -> bool {
        if self.is_meant_by(extension) {
            return true;
        }
        let is_vague = match self.row() {
            Some(row) => matches!(row.essence, OCTET_STREAM | PLAIN_TEXT),
            None => true,
        };
        is_vague && !is_listed(extension) && guesses_allow(extension, &self.essence)
    }

    /// Whether this extension denies what the bytes are, rather than saying less or nothing.
    pub(super) fn is_contradicted_by(&self, extension: &str) -> bool {
        is_known(extension)
            && table::by_extension(extension).all(|row| contradicts(&self.found, row.essence))
    }

    fn row(&self) -> Option<&'static MediaRow> {
        table::by_essence(&self.essence)
    }
}

/// A declared type by its one name, or none if it says nothing.
fn parse_declared(declared: &str) -> Option<String> {
    let declared: mime::Mime = declared.trim().parse().ok()?;
    let silent = UNDECLARED.contains(&declared.essence_str())
        || !declared.essence_str().split('/').all(is_restricted_name);
    if silent {
        return None;
    }
    Some(table::canonical(declared.essence_str()).to_owned())
}

fn parse_charset(declared: &str) -> Option<String> {
    let declared: mime::Mime = declared.trim().parse().ok()?;
    let charset = declared.get_param(mime::CHARSET)?;
    Some(charset.as_str().to_owned())
}

/// The type among those that the bytes leave open.
///
/// Of two claims that fit, the more telling one wins; among texts always the extension, since
/// browsers declare those by the programs that happen to be installed.
fn choose(found: &Detection, declared: Option<&str>, extension: Option<&str>) -> Cow<'static, str> {
    if let Some(extension) = extension
        && let Some(row) = table::by_extension(extension).find(|row| admits(found, row))
        && (is_textual(row.form) || row != found.row)
    {
        return Cow::Borrowed(row.essence);
    }
    if let Some(row) = declared.and_then(table::by_essence)
        && admits(found, row)
        && !says_less(found, row)
    {
        return Cow::Borrowed(row.essence);
    }
    if let Some(extension) = extension
        && let Some(essence) = unlisted(found, declared, extension)
    {
        return essence;
    }
    Cow::Borrowed(found.row.essence)
}

fn admits(found: &Detection, row: &MediaRow) -> bool {
    row == found.row || found.alternatives.contains(&row.form) || promises_to_run(found, row)
}

/// A file that calls itself a program is taken at its word where the bytes don't show another
/// type, so that policy refuses it rather than hides it behind a new name.
fn promises_to_run(found: &Detection, row: &MediaRow) -> bool {
    row.is_executable() && matches!(found.row.essence, OCTET_STREAM | PLAIN_TEXT)
}

fn is_textual(form: MediaForm) -> bool {
    matches!(
        form,
        MediaForm::Text | MediaForm::Script | MediaForm::Html | MediaForm::Xml | MediaForm::Json
    )
}

/// `text/plain` is true of a calendar and says less than its bytes do.
fn says_less(found: &Detection, row: &MediaRow) -> bool {
    row.essence == PLAIN_TEXT && found.row.essence != OCTET_STREAM
}

/// A type outside the table, for a file whose extension is outside it too: believed where the
/// bytes are vague and the common table doesn't object.
fn unlisted(
    found: &Detection,
    declared: Option<&str>,
    extension: &str,
) -> Option<Cow<'static, str>> {
    if !is_vague(found) || is_listed(extension) {
        return None;
    }
    let is_free =
        |essence: &str| table::by_essence(essence).is_none() && is_believable(found, essence);
    if let Some(essence) = declared
        && is_free(essence)
        && guesses_allow(extension, essence)
    {
        return Some(Cow::Owned(essence.to_owned()));
    }
    let guessed = mime_guess::from_ext(extension).first_raw()?;
    is_free(guessed).then_some(Cow::Borrowed(guessed))
}

fn is_vague(found: &Detection) -> bool {
    matches!(
        found.row.essence,
        OCTET_STREAM
            | PLAIN_TEXT
            | "application/zip"
            | "application/gzip"
            | "application/x-ole-storage"
    )
}

fn is_believable(found: &Detection, essence: &str) -> bool {
    let family = essence.split('/').next().unwrap_or_default();
    !TRUSTED_FAMILIES.contains(&family)
        && (family != "text" || found.alternatives.contains(&MediaForm::Text))
}

/// Whether the common table has this type, or nothing, for the extension.
fn guesses_allow(extension: &str, essence: &str) -> bool {
    let guesses = mime_guess::from_ext(extension);
    guesses.is_empty()
        || guesses
            .iter_raw()
            .any(|guess| table::canonical(guess) == essence)
}

/// Whether bytes as found can't be of the type. One that names the container only, such as zip
/// for a document, is no contradiction; neither is one that says nothing.
fn contradicts(found: &Detection, essence: &str) -> bool {
    let fits = match table::by_essence(essence) {
        Some(row) => admits(found, row),
        None => false,
    };
    let container = match found.row.form {
        MediaForm::Gzip => "application/gzip",
        // Recorders give a film's extension and type to a voice note.
        MediaForm::Mp4Sound => "video/mp4",
        MediaForm::ThreeGpSound => "video/3gpp",
        MediaForm::WebmSound => "video/webm",
        MediaForm::MatroskaSound => "video/x-matroska",
        MediaForm::Zip
        | MediaForm::App
        | MediaForm::Word
        | MediaForm::Excel
        | MediaForm::Slides => "application/zip",
        MediaForm::Ole => "application/x-ole-storage",
        MediaForm::Text | MediaForm::Json | MediaForm::Xml => PLAIN_TEXT,
        _ => OCTET_STREAM,
    };
    !fits && essence != container && essence != OCTET_STREAM
}

#[cfg(test)]
mod tests;
