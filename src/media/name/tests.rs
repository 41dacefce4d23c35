use proptest::prelude::*;

use super::*;
use crate::media::fixtures::{EXE, JPEG, PNG, zip};
use crate::media::sniff;

const UNKNOWN: &[u8] = b"\x01\x02\x03\x04\x05\0\x07";

fn agreed(head: &[u8], name: &str) -> (String, ExtensionOutcome) {
    let StoredName { name, extension } = agree(Some(name), &sniff(head, true, None, Some(name)));
    (name, extension)
}

fn name(head: &[u8], given: &str) -> String {
    agreed(head, given).0
}

#[test]
fn a_missing_name_or_extension_follows_the_bytes() {
    assert_eq!(
        agree(None, &sniff(JPEG, true, None, None)).name,
        "upload.jpg"
    );
    assert_eq!(
        agreed(JPEG, "photo"),
        ("photo.jpg".into(), ExtensionOutcome::Completed)
    );
    assert_eq!(
        agreed(PNG, "Report 3.5"),
        ("Report 3.5.png".into(), ExtensionOutcome::Completed)
    );
    assert_eq!(
        agreed(UNKNOWN, "thing"),
        ("thing.bin".into(), ExtensionOutcome::Completed)
    );
    assert_eq!(
        agreed(JPEG, ".jpg"),
        ("jpg.jpg".into(), ExtensionOutcome::Completed)
    );
}

#[test]
fn an_extension_that_contradicts_the_bytes_is_replaced() {
    assert_eq!(
        agreed(PNG, "scan.pdf"),
        ("scan.png".into(), ExtensionOutcome::Replaced)
    );
    assert_eq!(
        agreed(UNKNOWN, "photo.jpg"),
        ("photo.bin".into(), ExtensionOutcome::Replaced)
    );
    assert_eq!(
        agreed(b"hello", "a.json"),
        ("a.txt".into(), ExtensionOutcome::Replaced)
    );
    assert_eq!(
        agreed(EXE, "photo.jpg"),
        ("photo.exe".into(), ExtensionOutcome::Replaced)
    );
}

#[test]
fn of_two_extensions_the_last_one_counts() {
    assert_eq!(
        agreed(JPEG, "invoice.jpg.exe"),
        ("invoice.jpg".into(), ExtensionOutcome::Replaced)
    );
    assert_eq!(
        agreed(JPEG, "invoice.pdf.exe"),
        ("invoice.pdf.jpg".into(), ExtensionOutcome::Replaced)
    );
    assert_eq!(
        agreed(JPEG, "invoice.exe.jpg"),
        ("invoice.exe.jpg".into(), ExtensionOutcome::Kept)
    );
    assert_eq!(
        agreed(b"\x1f\x8b\x08\0", "logs.tar.gz"),
        ("logs.tar.gz".into(), ExtensionOutcome::Kept)
    );
}

#[test]
fn a_vague_extension_is_no_contradiction() {
    let document = zip(&[("[Content_Types].xml", b"x"), ("word/document.xml", b"x")]);
    assert_eq!(
        agreed(JPEG, "photo.bin"),
        ("photo.jpg".into(), ExtensionOutcome::Completed)
    );
    assert_eq!(
        agreed(JPEG, "photo.v2"),
        ("photo.v2.jpg".into(), ExtensionOutcome::Completed)
    );
    assert_eq!(
        agreed(&document, "report.zip"),
        ("report.docx".into(), ExtensionOutcome::Completed)
    );
    let voice = sniff(
        b"\0\0\0\x10ftypisom\0\0\x02\0",
        true,
        Some("audio/mp4"),
        Some("voice.mp4"),
    );
    assert_eq!(
        agree(Some("voice.mp4"), &voice),
        StoredName {
            name: "voice.m4a".into(),
            extension: ExtensionOutcome::Completed
        }
    );
}

#[test]
fn other_extensions_of_the_type_are_kept() {
    for kept in ["a.jpeg", "a.JPG", "a.jfif", "Müller.jpe"] {
        assert_eq!(agreed(JPEG, kept), (kept.into(), ExtensionOutcome::Kept));
    }
    for kept in [
        "a.txt",
        "a.log",
        "a.md",
        "a.csv",
        "a.conf",
        "a.unheard",
        "main.rs",
        "a.htm",
    ] {
        assert_eq!(
            agreed(b"hello, world", kept),
            (kept.into(), ExtensionOutcome::Kept)
        );
    }
    assert_eq!(
        agreed(UNKNOWN, "a.unheard"),
        ("a.unheard".into(), ExtensionOutcome::Kept)
    );
}

#[test]
fn a_domain_that_ends_a_name_is_no_extension() {
    for chat in [
        "Chat with info@acme.com",
        "WhatsApp Chat with jan.kowalski@onet.pl",
        "me@x.y.sh",
        "www.acme.com",
        "Receipt from booking.com",
    ] {
        assert_eq!(
            agreed(b"hello, world", chat),
            (format!("{chat}.txt"), ExtensionOutcome::Completed)
        );
        assert_eq!(
            agreed(JPEG, chat),
            (format!("{chat}.jpg"), ExtensionOutcome::Completed)
        );
        assert_eq!(name(EXE, chat), format!("{chat}.exe"));
        assert_eq!(name(JPEG, &format!("{chat}.jpeg")), format!("{chat}.jpeg"));
    }
    assert_eq!(
        agreed(b"hello, world", "run.com"),
        ("run.com".into(), ExtensionOutcome::Kept)
    );
    assert_eq!(
        agreed(b"hello, world", "invoice.pdf.com"),
        ("invoice.pdf.com".into(), ExtensionOutcome::Kept)
    );
    assert_eq!(
        agreed(b"hello, world", "a script.pl"),
        ("a script.pl".into(), ExtensionOutcome::Kept)
    );
    assert_eq!(name(b"#!/bin/sh", "me@x.sh"), "me@x.sh.sh");
}

#[test]
fn paths_and_invisible_characters_are_stripped() {
    assert_eq!(name(JPEG, "../../etc/photo.jpg"), "photo.jpg");
    assert_eq!(name(JPEG, "C:\\Users\\me\\photo.jpg"), "photo.jpg");
    assert_eq!(name(JPEG, " . photo.jpg . "), "photo.jpg");
    assert_eq!(name(JPEG, "pho\u{0}to\r\n\u{200b}.jpg"), "photo.jpg");
    assert_eq!(name(JPEG, "photo\u{202e}gpj.exe"), "photogpj.jpg");
    assert_eq!(name(JPEG, "photos/"), "photos.jpg");
    assert_eq!(name(JPEG, "../.."), "upload.jpg");
    assert_eq!(name(JPEG, ""), "upload.jpg");
}

#[test]
fn invisible_characters_that_a_script_needs_are_kept() {
    for kept in [
        "می\u{200c}خواهم.jpg",
        "क्\u{200d}ष.jpg",
        "👨\u{200d}👩\u{200d}👧 trip.jpg",
        "❤\u{fe0f}\u{200d}🔥.jpg",
        "שלום\u{200f} (1).jpg",
        "葛\u{e0100}城.jpg",
        "ᠮᠣᠩᠭᠣᠯ\u{180e}ᠠ.jpg",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}.jpg",
    ] {
        assert_eq!(
            agreed(JPEG, kept),
            (kept.into(), ExtensionOutcome::Kept),
            "{kept:?}"
        );
    }
    for (given, cleaned) in [
        ("pho\u{200d}to.jpg", "photo.jpg"),
        ("photo\u{200f}.jpg", "photo.jpg"),
        ("photo.jpg\u{200c}", "photo.jpg"),
        ("می\u{200c}\u{200c}\u{202e}خ.jpg", "می\u{200c}خ.jpg"),
        ("שלום\u{202b}\u{2067}.jpg", "שלום.jpg"),
        ("\u{200d}\u{200f}photo.jpg", "photo.jpg"),
        ("hidden\u{e0068}\u{e0069}.jpg", "hidden.jpg"),
    ] {
        assert_eq!(name(JPEG, given), cleaned, "{given:?}");
    }
}

#[test]
fn a_long_name_loses_of_its_stem_only() {
    let long = "ü".repeat(300);
    assert_eq!(
        name(JPEG, &format!("{long}.jpeg")),
        format!("{}.jpeg", "ü".repeat(250))
    );
    assert_eq!(name(JPEG, &long), format!("{}.jpg", "ü".repeat(251)));
    assert_eq!(
        name(JPEG, &format!("{}. .jpg", "a".repeat(250))),
        format!("{}.jpg", "a".repeat(250))
    );
}

fn heads() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        JPEG,
        PNG,
        EXE,
        b"hello",
        b"{\"a\":1}",
        b"<svg/>",
        b"<html>",
        b"#!/bin/sh",
        b"PK\x03\x04",
        b"OggS",
        b"#!SILK_V3\x17",
        b"\x1f\x8b\x08\0",
        b"ID3\x03\0\0\0\x7f\0\0APIC",
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        b"\0\0\0\x18ftyp3gp4\0\0\0\0isom3gp4",
        b"\x1A\x45\xDF\xA3\x87\x42\x82\x84webm",
        b"name,note\nBob,Main St\x1f4000\n",
        b"Bob\x1fMain St\x1f4000\x1fUS\n",
        b"Gr\xfc\xdfe",
        "Gr\u{fc}\u{df}e".as_bytes(),
    ]);
    prop_oneof![
        known.prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..80)
    ]
}

fn names() -> impl Strategy<Value = String> {
    let extension = "[a-zA-Z0-9]{0,5}|jpg|exe|txt|json|zip|docx|mp4|svg|bin|js|ts|acme|pages|com|\
                     pl|sh|svgz|tgs|webm|weba|3gp|3ga|m4a|flac|xls|odt|jar|csv|silk|gz|iso";
    (
        any::<String>(),
        "[a-z ./\\\\@خ\u{200c}\u{200d}\u{200f}🏴\u{e0067}]{0,260}",
        extension,
    )
        .prop_map(|(a, b, c)| format!("{a}{b}.{c}"))
}

const DECLARED: &[&str] = &[
    "image/svg+xml",
    "video/webm",
    "audio/3gpp",
    "text/plain; charset=latin1",
    "image/jpeg",
    "audio/mp4",
    "text/plain",
    "application/vnd.acme",
    "text/csv",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn an_agreed_name_is_sound_and_final(
        head in heads(),
        given in names(),
        whole: bool,
        declared in prop::option::of(prop::sample::select(DECLARED)),
    ) {
        let sniffed = sniff(&head, whole, declared, Some(&given));
        let agreed = agree(Some(&given), &sniffed);
        prop_assert!((3..=255).contains(&agreed.name.chars().count()), "{agreed:?}");
        prop_assert!(!agreed.name.contains(['/', '\\']));
        prop_assert!(!agreed.name.chars().any(char::is_control));
        prop_assert!(split(&agreed.name).1.is_some(), "{agreed:?}");
        let again = StoredName { name: agreed.name.clone(), extension: ExtensionOutcome::Kept };
        prop_assert_eq!(&agree(Some(&agreed.name), &sniffed), &again);
        let resniffed = sniff(&head, whole, declared, Some(&agreed.name));
        prop_assert_eq!(resniffed.essence(), sniffed.essence(), "{} -> {}", given, agreed.name);
        let stored = sniff(&head, whole, Some(&sniffed.content_type()), Some(&agreed.name));
        let content_type = sniffed.content_type();
        prop_assert_eq!(&stored.content_type(), &content_type, "stored: {}", agreed.name);
        prop_assert!(!stored.contradicts_declared(), "{} as {}", agreed.name, content_type);
    }
}
