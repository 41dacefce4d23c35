//! Kinds of media, as messaging providers set their limits by.

/// What a file is to a person.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum MediaKind {
    /// Pictures, stickers among them.
    Image,
    /// Sound, voice notes among it.
    Audio,
    /// Films.
    Video,
    /// What is read: texts, PDF, Office.
    Document,
    /// Anything else, such as archives.
    Other,
}

/// Types of documents that aren't `text/*`, by the beginning of their subtype.
const DOCUMENTS: [&str; 8] = [
    "pdf",
    "rtf",
    "msword",
    "epub+zip",
    "vnd.ms-excel",
    "vnd.ms-powerpoint",
    "vnd.openxmlformats-officedocument.",
    "vnd.oasis.opendocument.",
];

impl MediaKind {
    /// Of a type without parameters.
    pub fn of(essence: &str) -> Self {
        match essence.split_once('/') {
            Some(("image", _)) => Self::Image,
            Some(("audio", _)) => Self::Audio,
            Some(("video", _)) => Self::Video,
            Some(("text", _)) => Self::Document,
            Some(("application", subtype))
                if DOCUMENTS
                    .iter()
                    .any(|document| subtype.starts_with(document)) =>
            {
                Self::Document
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_of_one_kind() {
        for (essence, kind) in [
            ("image/webp", MediaKind::Image),
            ("audio/ogg", MediaKind::Audio),
            ("video/3gpp", MediaKind::Video),
            ("text/calendar", MediaKind::Document),
            ("application/pdf", MediaKind::Document),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                MediaKind::Document,
            ),
            ("application/zip", MediaKind::Other),
            ("nonsense", MediaKind::Other),
        ] {
            assert_eq!(MediaKind::of(essence), kind, "{essence}");
        }
    }
}
