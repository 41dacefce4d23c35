use file_format::FileFormat;

use super::*;
use crate::media::fixtures::{EXE, JPEG, PNG, ole, zip};

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const PE: &str = "application/vnd.microsoft.portable-executable";
const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1";
const UNKNOWN: &[u8] = b"\x01\x02\x03\x04\x05\0\x07";

fn essence(head: &[u8], declared: &str, name: &str) -> String {
    let declared = (!declared.is_empty()).then_some(declared);
    let name = (!name.is_empty()).then_some(name);
    sniff(head, true, declared, name).essence().to_owned()
}

#[test]
fn a_signature_beats_every_claim() {
    assert_eq!(essence(PNG, "image/jpeg", "scan.pdf"), "image/png");
    assert_eq!(essence(EXE, "image/jpeg", "photo.jpg"), PE);
    assert!(sniff(PNG, true, Some("image/jpeg"), None).contradicts_declared());
    assert!(!sniff(JPEG, true, Some("image/jpg; q=1"), None).contradicts_declared());
}

#[test]
fn a_claimed_type_needs_its_signature_to_be_believed() {
    assert_eq!(essence(UNKNOWN, "image/jpeg", "photo.jpg"), OCTET_STREAM);
    assert_eq!(essence(b"hello", "image/png", "photo.png"), PLAIN_TEXT);
    assert_eq!(
        essence(UNKNOWN, "image/never-heard-of", "a.nho"),
        OCTET_STREAM
    );
    assert!(sniff(UNKNOWN, true, Some("image/jpeg"), None).contradicts_declared());
}

#[test]
fn unknown_bytes_have_the_claimed_type_unless_contradicted() {
    assert_eq!(
        essence(UNKNOWN, "", "disc.iso"),
        "application/x-iso9660-image"
    );
    assert_eq!(
        essence(UNKNOWN, "application/vnd.acme", "a.acme"),
        "application/vnd.acme"
    );
    assert_eq!(essence(UNKNOWN, "application/vnd.acme", ""), OCTET_STREAM);
    assert_eq!(
        essence(UNKNOWN, "app*lication/vnd.acme", "a.acme"),
        OCTET_STREAM
    );
    assert_eq!(essence(UNKNOWN, "", "a.acme"), OCTET_STREAM);
}

#[test]
fn types_that_say_nothing_count_as_undeclared() {
    for silent in [
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "*/*",
        "image/*",
        "ima*ge/jpeg",
        "nonsense",
        "a/b/c;;;",
    ] {
        let sniffed = sniff(JPEG, true, Some(silent), None);
        assert_eq!(
            (sniffed.essence(), sniffed.contradicts_declared()),
            ("image/jpeg", false)
        );
    }
}

#[test]
fn a_container_is_what_a_fitting_claim_says() {
    assert_eq!(essence(MP4, "", ""), "video/mp4");
    assert_eq!(essence(MP4, "audio/x-m4a", ""), "audio/mp4");
    assert_eq!(essence(MP4, "audio/mp4", "voice.mp4"), "audio/mp4");
    assert_eq!(essence(MP4, "audio/ogg", "voice.ogg"), "video/mp4");
    assert_eq!(
        essence(
            b"\x1A\x45\xDF\xA3\x9f\x42\x82\x84webm",
            "audio/webm;codecs=opus",
            ""
        ),
        "audio/webm"
    );
    assert_eq!(essence(b"OggS\0\x02", "", "clip.ogv"), "video/ogg");
    assert_eq!(
        essence(
            b"\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9\0",
            "",
            "song.wma"
        ),
        "audio/x-ms-wma"
    );
}

#[test]
fn opus_is_ogg_with_its_codec() {
    let opus = [b"OggS\0\x02", &[0; 20][..], &[1, 19], b"OpusHead\x01"].concat();
    let sniffed = sniff(&opus, true, Some("audio/opus"), None);
    assert_eq!(
        (sniffed.essence(), sniffed.content_type().as_str()),
        ("audio/ogg", "audio/ogg;codecs=opus")
    );
    assert!(!sniffed.contradicts_declared());
}

#[test]
fn speech_is_no_script() {
    for (head, speech) in [
        (&b"#!AMR-WB\n\x04\x10"[..], "audio/amr-wb"),
        (b"#!SILK_V3\x17\0", "audio/silk"),
        (b"\x02#!SILK_V3\x17\0", "audio/silk"),
        (b"#!iLBC30\n\x01", "audio/ilbc"),
        (b"#!EVRC-B\n\x01", "audio/evrc"),
    ] {
        assert_eq!(essence(head, "audio/amr", "a.amr"), speech);
    }
}

#[test]
fn an_encrypted_document_has_the_type_of_its_name() {
    let mut file = ole(0, "Root Entry");
    file.extend(ole(0, "EncryptedPackage").split_off(512));
    for (name, like) in [
        ("a.docx", "wordprocessingml.document"),
        ("a.XLSX", "spreadsheetml.sheet"),
        ("a.pptm", "presentation.macroenabled.12"),
    ] {
        for declared in ["", "application/octet-stream", "application/vnd.ms-office"] {
            assert!(essence(&file, declared, name).ends_with(like), "{name}");
            assert!(
                essence(&file[..512], declared, name).ends_with(like),
                "{name} of which little is seen"
            );
        }
    }
    assert_eq!(essence(&file, DOCX, "a"), DOCX);
    assert_eq!(essence(&file, "", "a.xls"), "application/vnd.ms-excel");
    assert_eq!(essence(&file, "", "setup.msi"), "application/x-msi");
    assert_eq!(essence(&file, "", ""), "application/x-ole-storage");
}

#[test]
fn siblings_from_phones_and_recorders_keep_their_kind() {
    let three = b"\0\0\0\x18ftyp3gp4\0\0\0\0isom3gp4";
    assert_eq!(essence(three, "audio/mp4", "Voice 001.m4a"), "audio/mp4");
    assert_eq!(essence(three, "audio/3gpp", "voice.3gp"), "audio/3gpp");
    assert_eq!(essence(MP4, "video/3gpp", "clip.3gp"), "video/3gpp");
    assert_eq!(
        essence(
            b"\x1A\x45\xDF\xA3\x9f\x42\x82\x84webm",
            "audio/webm",
            "voice.webm"
        ),
        "audio/webm"
    );
    let sound = [three, &crate::media::bytes::movie(&[b"soun"])[..]].concat();
    for (declared, name, meant) in [
        ("video/3gpp", "voice.3gp", "audio/3gpp"),
        ("", "Voice 001.m4a", "audio/mp4"),
        ("video/mp4", "voice.mp4", "audio/3gpp"),
    ] {
        let sniffed = sniff(&sound, true, Some(declared), Some(name));
        assert_eq!(sniffed.essence(), meant);
    }
    assert!(!sniff(&sound, true, Some("video/3gpp"), Some("voice.3gp")).contradicts_declared());
    let packed = b"\x1f\x8b\x08\0\0\0\0\0";
    assert_eq!(
        essence(packed, "application/x-tgsticker", "sticker.tgs"),
        "application/x-tgsticker"
    );
    assert_eq!(
        essence(packed, "image/svg+xml", "drawing.svgz"),
        "image/svg+xml"
    );
    assert_eq!(
        essence(packed, "application/gzip", "a.tar.gz"),
        "application/gzip"
    );
    assert_eq!(essence(packed, "", "photo.jpg"), "application/gzip");
}

#[test]
fn data_behind_a_huge_tag_has_the_claimed_type() {
    let tag = [b"ID3\x03\0\0\0\x7f\0\0", &[0x55; 400][..]].concat();
    assert_eq!(essence(&tag, "audio/flac", "song.flac"), "audio/flac");
    assert_eq!(essence(&tag, "", "song.aac"), "audio/aac");
    assert_eq!(essence(&tag, "", "song"), "audio/mpeg");
    assert_eq!(essence(&tag, "image/png", "song.png"), "audio/mpeg");
}

#[test]
fn text_with_a_stray_control_keeps_its_kind() {
    assert_eq!(
        essence(
            b"name,note\nBob,Main St\x1f4000\n",
            "text/csv",
            "export.csv"
        ),
        "text/csv"
    );
    assert_eq!(
        essence(
            b"BEGIN:VCARD\r\nEND:VCARD\r\n\0",
            "text/x-vcard",
            "card.vcf"
        ),
        "text/vcard"
    );
    assert_eq!(
        essence(b"Gr\xfc\xdfe;Stra\xdfe;Ort\n\x1a", "", "export.csv"),
        "text/csv"
    );
    assert_eq!(
        essence(&b"Bob\x1fMain St\x1f4000\n".repeat(20), "", "export.csv"),
        "text/csv"
    );
    assert_eq!(
        essence(&b"Bob\x1fMain St\x1f4000\n".repeat(20), "", "export.bin"),
        OCTET_STREAM
    );
    assert_eq!(
        essence(b"log line\x07 and more of it\n", "", "a.bin"),
        OCTET_STREAM
    );
    assert_eq!(
        essence(b"log line\x07 and more of it\n", "", "a.log"),
        "text/plain"
    );
    assert_eq!(
        essence(b"<html><script>\x01alert(1)</script>", "", "a.txt"),
        "text/html"
    );
    assert_eq!(
        essence(b"{\"a\": 1, \"b\": \"c\x07\"}", "", "a.json"),
        "application/json"
    );
}

#[test]
fn office_files_differ_from_zip_by_bytes_or_claim() {
    let document = zip(&[("[Content_Types].xml", b"x"), ("word/document.xml", b"x")]);
    let unclear = zip(&[("thumbnail.jpeg", b"x")]);
    let seen_in_part = |name| {
        sniff(&unclear, false, Some(DOCX), Some(name))
            .essence()
            .to_owned()
    };
    assert_eq!(essence(&document, "application/zip", "a.zip"), DOCX);
    assert!(!sniff(&document, true, Some("application/zip"), None).contradicts_declared());
    assert_eq!(
        essence(&document, "", "a.docm"),
        "application/vnd.ms-word.document.macroenabled.12"
    );
    assert_eq!(essence(&document, "", "a.xlsx"), DOCX);
    assert_eq!(
        (&*seen_in_part("a.zip"), &*seen_in_part("a.docx")),
        (DOCX, DOCX)
    );
    assert_eq!(essence(&unclear, DOCX, "a.docx"), "application/zip");
    assert_eq!(essence(&unclear, "", "a.odt"), "application/zip");
    assert_eq!(essence(&unclear, "", "a.jar"), "application/java-archive");
    assert_eq!(essence(&unclear, "", ""), "application/zip");
}

#[test]
fn old_office_files_are_told_by_claim() {
    let unclear = &ole(0, "Root Entry")[..512];
    assert_eq!(
        essence(unclear, "application/msword", ""),
        "application/msword"
    );
    assert_eq!(essence(unclear, "", "a.XLS"), "application/vnd.ms-excel");
    assert_eq!(
        essence(unclear, "image/png", ""),
        "application/x-ole-storage"
    );
    assert_eq!(essence(unclear, "", "setup.msi"), "application/x-msi");
    assert_eq!(
        essence(
            &ole(0x000C_1084, "Root Entry"),
            "application/msword",
            "a.doc"
        ),
        "application/x-msi"
    );
}

#[test]
fn text_is_what_its_extension_says() {
    assert_eq!(essence(b"a,b\n1,2\n", "", "data.csv"), "text/csv");
    assert_eq!(
        essence(b"a,b\n1,2\n", "application/vnd.ms-excel", "data.csv"),
        "text/csv"
    );
    assert_eq!(essence(b"a,b\n1,2\n", "text/csv", "data.txt"), "text/plain");
    assert_eq!(
        essence(b"a,b\n1,2\n", "text/csv; charset=utf-8", ""),
        "text/csv"
    );
    assert_eq!(essence(b"# Title", "", "README.md"), "text/markdown");
    assert_eq!(
        essence(b"<p align=center>x</p>", "", "README.md"),
        "text/markdown"
    );
    assert_eq!(
        essence(b"From: a@b\r\n\r\nhi", "", "mail.eml"),
        "message/rfc822"
    );
    assert_eq!(essence(b"fn main() {}", "", "main.rs"), "text/x-rust");
    assert_eq!(essence(b"x", "", "a.ts"), "application/typescript");
    assert_eq!(essence(b"Gr\xfc\xdfe;1", "", "data.csv"), "text/csv");
    assert_eq!(essence(b"Gr\xfc\xdfe", "text/plain", ""), "text/plain");
    assert_eq!(essence(b"Gr\xfc\xdfe", "", ""), OCTET_STREAM);
}

#[test]
fn a_text_keeps_its_detected_or_declared_charset() {
    let told = |head: &[u8], declared: &str, name: &str| {
        sniff(head, true, Some(declared), Some(name)).content_type()
    };
    assert_eq!(
        told("Grüße".as_bytes(), "", "a.txt"),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        told(
            "Grüße".as_bytes(),
            "text/plain; charset=ISO-8859-1",
            "a.txt"
        ),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        told("\u{feff}a,b".as_bytes(), "", "a.csv"),
        "text/csv; charset=utf-8"
    );
    assert_eq!(
        told(
            b"Gr\xfc\xdfe",
            "text/plain; charset=\"ISO-8859-1\"",
            "a.txt"
        ),
        "text/plain; charset=iso-8859-1"
    );
    assert_eq!(
        told(b"Gr\xfc\xdfe", "text/plain; charset=utf-8", "a.txt"),
        "text/plain"
    );
    assert_eq!(
        told(b"hello", "text/plain; charset=Shift_JIS", "a.txt"),
        "text/plain; charset=shift_jis"
    );
    assert_eq!(
        told(b"hello", "text/plain; charset=none-such", "a.txt"),
        "text/plain"
    );
    assert_eq!(told(b"hello", "", "a.txt"), "text/plain");
    let utf16: Vec<u8> = "\u{feff}hello"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert_eq!(told(&utf16, "", "a.txt"), "text/plain; charset=utf-16be");
    assert_eq!(
        told(
            "{\"a\": \"ü\"}".as_bytes(),
            "application/json; charset=utf-8",
            "a.json"
        ),
        "application/json"
    );
    assert_eq!(told(PNG, "text/plain; charset=utf-8", "a.txt"), "image/png");
}

#[test]
fn json_must_look_like_json() {
    assert_eq!(essence(b"{\"a\": 1}", "", "a.json"), "application/json");
    assert_eq!(essence(b"{\"a\": 1}", "text/plain", ""), "application/json");
    assert_eq!(essence(b"{\"a\": 1}", "", "a.txt"), "text/plain");
    assert_eq!(
        essence(b"hello", "application/json", "a.json"),
        "text/plain"
    );
}

#[test]
fn text_that_begins_like_a_signature_is_text() {
    for text in [
        "BMW is a car",
        "GIF89a is a format",
        "ID3 is a tag",
        "MZ was here",
        "<a is a letter",
        "BZh",
        "FWS",
        "MAC and cheese",
    ] {
        assert_eq!(essence(text.as_bytes(), "", ""), "text/plain", "{text}");
    }
}

#[test]
fn programs_and_scripts_are_known_whatever_they_call_themselves() {
    let runs = |head: &[u8], declared, name| sniff(head, true, declared, name).is_executable();
    let jar = zip(&[("META-INF/MANIFEST.MF", b"x")]);
    for head in [
        EXE,
        b"\x7fELF\x02\x01\x01",
        b"\xcf\xfa\xed\xfe\x07",
        b"#!/bin/sh\nrm",
        b"#!/bin/sh\n# Gr\xfc\xdfe",
        b"#!/bin/sh\n\0\0\x1f\x8b",
        b"dex\n035\0",
        &jar,
        b"L\0\0\0\x01\x14\x02\0",
    ] {
        assert!(
            runs(head, Some("image/jpeg"), Some("photo.jpg")),
            "{head:?}"
        );
    }
    for name in [
        "a.bat",
        "a.CMD",
        "a.ps1",
        "a.vbs",
        "a.js",
        "a.hta",
        "a.sh",
        "a.jpg.exe",
        "a.com",
        "a.reg",
        "a.py",
    ] {
        assert!(runs(b"echo hello", None, Some(name)), "{name}");
        assert!(runs(UNKNOWN, None, Some(name)), "{name}");
        assert!(!runs(JPEG, None, Some(name)), "{name}");
    }
    assert!(runs(b"<html><script>", None, Some("a.hta")));
    assert!(runs(b"alert(1)", Some("application/javascript"), None));
    assert!(!runs(b"alert(1)", None, Some("a.txt")));
}

#[test]
fn pages_and_drawings_are_known_whatever_they_call_themselves() {
    assert_eq!(
        essence(b"<!doctype html><p>", "image/png", "a.png"),
        "text/html"
    );
    assert_eq!(
        essence(b"<!doctype html><p>", "text/plain", "a.txt"),
        "text/html"
    );
    assert_eq!(
        essence(
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "text/plain",
            "a.txt"
        ),
        "image/svg+xml"
    );
    assert_eq!(essence(b"hello", "image/svg+xml", "a.svg"), "text/plain");
    assert_eq!(
        essence(b"<html><p>Gr\xfc\xdfe", "text/plain", "a.txt"),
        "text/html"
    );
    assert_eq!(
        essence(
            b"<?xml version='1.0' encoding='latin1'?><a>\xfc</a>",
            "",
            "a.xml"
        ),
        "text/xml"
    );
    let utf16: Vec<u8> = "\u{feff}<html>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(essence(&utf16, "text/plain", "a.txt"), "text/html");
}

#[test]
fn another_sniffer_agrees() {
    let heads: &[&[u8]] = &[
        PNG,
        JPEG,
        MP4,
        b"GIF89a\x01\0\x01\0\x80\0\0",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"\0\0\0\x14ftyp3gp4\0\0\0\0isom",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        b"wOFFOTTO\0\0\x1c\x10",
        b"#!AMR\n\x3c\x91\x17\x16\xbe",
        b"fLaC\0\0\0\x22\x10",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"{\\rtf1 hello}",
        b"BEGIN:VCARD\r\nVERSION:3.0\r\n",
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n",
        b"Rar!\x1a\x07\x01\0",
        b"7z\xbc\xaf\x27\x1c\0\x04",
        b".snd\0\0\0\x18",
    ];
    for head in heads {
        let theirs = FileFormat::from_bytes(head).media_type().to_owned();
        assert_eq!(
            essence(head, "", ""),
            table::canonical(&theirs),
            "{}",
            head.escape_ascii()
        );
    }
}

const SIGNATURES: &[&[u8]] = &[
    b"",
    b"PK\x03\x04",
    b"\0\0\0\x20ftyp",
    b"OggS",
    b"\x1A\x45\xDF\xA3",
    b"<!",
    b"<?",
    b"BM",
    b"MZ",
    b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
    b"\xFF\xFE",
    b"\x50\x2a\x4d\x18",
    b"{",
    b"#!",
    b"ID3",
    b"RIFF",
    b"\xca\xfe\xba\xbe",
    b"\xFF\xFB",
];

proptest::proptest! {
    #[test]
    fn nothing_that_is_sent_makes_it_panic(
        signature in proptest::sample::select(SIGNATURES),
        tail in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        declared in proptest::option::of("[ -~]{0,30}"),
        name in proptest::option::of("\\PC{0,20}"),
        whole: bool,
    ) {
        let head = [signature, &tail].concat();
        let sniffed = sniff(&head, whole, declared.as_deref(), name.as_deref());
        proptest::prop_assert!(sniffed.essence().contains('/'));
    }
}
