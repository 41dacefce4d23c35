//! What a file is called and what type it is sent with agree with its bytes, whatever was claimed.

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::Response;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::support::gateway::{TestGateway, receipt};
use crate::support::raw_client::in_chunks;
use crate::support::refusal::Refusal;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

/// A zip of stored files with its directory, as small as they come.
fn zip(names: &[&str]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let offset = (file.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        let common = [&b"\x14\0\0\0\0\0\0\0\0\0"[..], &[0; 12], &name_len, &[0; 2]].concat();
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes()].concat());
        directory.extend(
            [
                b"PK\x01\x02\x14\0",
                &common[..],
                &[0; 10],
                &offset,
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let (count, size, start) = (
        names.len() as u16,
        directory.len() as u32,
        file.len() as u32,
    );
    let counts = [count.to_le_bytes(), count.to_le_bytes()].concat();
    let place = [size.to_le_bytes(), start.to_le_bytes()].concat();
    [
        file,
        directory,
        [b"PK\x05\x06\0\0\0\0", &counts[..], &place, &[0; 2]].concat(),
    ]
    .concat()
}

async fn post(gateway: &TestGateway, name: &str, declared: &str, bytes: &[u8]) -> Response {
    let url = reqwest::Url::parse_with_params(
        &gateway.url("/v1/assets"),
        [("channel", "sms"), ("name", name)],
    )
    .unwrap();
    gateway
        .client
        .post(url)
        .header(CONTENT_TYPE, declared)
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
}

/// A form whose file has this disposition, in bytes, as some clients send no ASCII.
async fn post_form(gateway: &TestGateway, disposition: &str) -> Response {
    let head =
        format!("--x\r\nContent-Disposition: form-data; name=\"file\"; {disposition}\r\n\r\n");
    let body = [head.as_bytes(), JPEG, b"\r\n--x--\r\n"];
    let request = gateway
        .post("/v1/assets?channel=sms")
        .header(CONTENT_TYPE, "multipart/form-data; boundary=x");
    request.body(body.concat()).send().await.unwrap()
}

/// Name and type as told, once they were compared with what eGain and storage were told.
async fn stored(gateway: &TestGateway, response: Response) -> (String, String) {
    let receipt = receipt(response).await;
    let told = |key: &str| receipt[key].as_str().unwrap().to_owned();
    let asset = gateway
        .sandbox
        .assets()
        .into_iter()
        .find(|asset| *asset.id == receipt["id"])
        .unwrap();
    assert!(
        asset.complete,
        "storage takes only the type that belongs to the name"
    );
    assert_eq!(asset.name, told("name"));
    (told("name"), told("contentType"))
}

#[tokio::test]
async fn a_name_is_completed_or_corrected_after_the_bytes() {
    let gateway = TestGateway::start().await;
    let docx = zip(&["[Content_Types].xml", "_rels/.rels", "word/document.xml"]);
    for (name, declared, bytes, stored_name, stored_type) in [
        (
            "photo",
            "application/octet-stream",
            JPEG,
            "photo.jpg",
            "image/jpeg",
        ),
        ("photo.JPEG", "image/jpeg", JPEG, "photo.JPEG", "image/jpeg"),
        ("scan.pdf", "application/pdf", PNG, "scan.png", "image/png"),
        ("", "image/gif", PNG, "upload.png", "image/png"),
        ("report.docx", "application/zip", &docx, "report.docx", DOCX),
        ("report.zip", "application/zip", &docx, "report.docx", DOCX),
        (
            "files.zip",
            "application/zip",
            &zip(&["a.txt", "b.txt"]),
            "files.zip",
            "application/zip",
        ),
        (
            "notes.txt",
            "application/x-www-form-urlencoded",
            b"a=1&b=2",
            "notes.txt",
            "text/plain",
        ),
        (
            "list.csv",
            "application/vnd.ms-excel",
            b"a,b\n1,2\n",
            "list.csv",
            "text/csv",
        ),
        (
            "C:\\dir\\..\\photo.jpg",
            "image/jpeg",
            JPEG,
            "photo.jpg",
            "image/jpeg",
        ),
        (
            "../../etc/photo.jpg",
            "image/jpeg",
            JPEG,
            "photo.jpg",
            "image/jpeg",
        ),
        (
            "ph\u{202e}oto\r\n.jpg",
            "image/jpeg",
            JPEG,
            "photo.jpg",
            "image/jpeg",
        ),
    ] {
        let told = stored(&gateway, post(&gateway, name, declared, bytes).await).await;
        let essence = told.1.split(';').next().unwrap().to_owned();
        assert_eq!(
            (&*told.0, &*essence),
            (stored_name, stored_type),
            "{name} declared as {declared}"
        );
    }
}

#[tokio::test]
async fn phone_recorder_and_office_files_get_their_real_type() {
    let gateway = TestGateway::start().await;
    let ole = |entry: &str| {
        let mut file = [
            &b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"[..],
            &[0; 22],
            &[9],
            &[0; 481],
            &[0; 128],
        ]
        .concat();
        file.extend(entry.encode_utf16().flat_map(u16::to_le_bytes));
        file.resize(2048, 0);
        file
    };
    let film =
        |first: &[u8]| [b"\0\0\0\x14", first, &[0; 12], b"\0\0\x10\0mdat", &[0; 64]].concat();
    let tagged = |sound: &[u8]| [b"ID3\x04\0\0\0\0\0\x0a", &[0; 10], sound, &[0; 60]].concat();
    let xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let (plain, map) = (zip(&["a.txt", "photo.jpg"]), zip(&["doc.kml"]));
    let rar = b"Rar!\x1a\x07\x01\0\x33\x92";
    let three_gp = b"\0\0\0\x18ftyp3gp4\0\0\0\0isom3gp4";
    let webm = b"\x1A\x45\xDF\xA3\x87\x42\x82\x84webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\
        \xff\xff\xff\x16\x54\xAE\x6B\x85\xAE\x83\x83\x81\x02\x1F\x43\xB6\x75\x81\0";
    let mpeg_2 = b"\xff\xfd\x80\x04D332\x11C\"\x11";
    let template = zip(&["[Content_Types].xml", "ppt/presentation.xml"]);
    let potm = "application/vnd.ms-powerpoint.template.macroenabled.12";
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0";
    let table = b"name,note\nBob,Main St\x1f4000\nAl,x\n".repeat(20);
    let (text, latin_1) = ("text/plain", "text/plain; charset=iso-8859-1");
    // A row a file: its name, the declared type, the bytes, and under which name and type it is
    // stored.
    #[rustfmt::skip]
    let files = [
        ("offer.docx", DOCX, &ole("EncryptedPackage")[..], "offer.docx", DOCX),
        ("list.xlsx", "application/octet-stream", &ole("EncryptedPackage"), "list.xlsx", xlsx),
        ("report.docx", DOCX, &plain, "report.zip", "application/zip"),
        ("report.odt", "", &plain, "report.zip", "application/zip"),
        ("trip.kmz", "", &map, "trip.kmz", "application/vnd.google-earth.kmz"),
        ("IMG_1.MOV", "video/quicktime", &film(b"pnot"), "IMG_1.MOV", "video/quicktime"),
        ("IMG_1.MOV", "", &film(b"skip"), "IMG_1.MOV", "video/quicktime"),
        ("song.flac", "audio/flac", &tagged(b"fLaC\0\0\0\x22"), "song.flac", "audio/flac"),
        ("song.flac", "audio/flac", &tagged(b"\xff\xfb\x90\x64"), "song.mp3", "audio/mpeg"),
        ("msg.silk", "audio/silk", b"#!SILK_V3\x17\0\xb0\x01", "msg.silk", "audio/silk"),
        ("msg.aud", "", b"\x02#!SILK_V3\x17\0\xb0\x01", "msg.aud.silk", "audio/silk"),
        ("Voice 001.m4a", "audio/mp4", three_gp, "Voice 001.m4a", "audio/mp4"),
        ("voice.webm", "video/webm", webm, "voice.weba", "audio/webm"),
        ("files.rar", "application/x-rar-compressed", rar, "files.rar", "application/vnd.rar"),
        ("broadcast.mp2", "audio/mpeg", mpeg_2, "broadcast.mp2", "audio/mpeg"),
        ("slides.potm", "", &template, "slides.potm", potm),
        ("sticker.tgs", "application/x-tgsticker", gzip, "sticker.tgs", "application/x-tgsticker"),
        ("drawing.svgz", "image/svg+xml", gzip, "drawing.svgz", "image/svg+xml"),
        ("export.csv", "text/csv", b"name,note\nBob,Main St\x1f4000\n", "export.csv", "text/csv"),
        ("export.csv", "text/csv", &table, "export.csv", "text/csv"),
        ("card.vcf", "text/x-vcard", b"BEGIN:VCARD\r\nEND:VCARD\r\n\0", "card.vcf", "text/vcard"),
        ("Chat with info@acme.com", text, b"hello", "Chat with info@acme.com.txt", text),
        ("notes.txt", "", "Grüße".as_bytes(), "notes.txt", "text/plain; charset=utf-8"),
        ("notes.txt", "text/plain; charset=ISO-8859-1", b"Gr\xfc\xdfe", "notes.txt", latin_1),
    ];
    for (name, declared, bytes, stored_name, stored_type) in files {
        let told = stored(&gateway, post(&gateway, name, declared, bytes).await).await;
        assert_eq!(
            (&*told.0, &*told.1),
            (stored_name, stored_type),
            "{name} declared as {declared}"
        );
    }
}

#[tokio::test]
async fn an_invalid_utf_8_name_counts_as_windows_1252() {
    let gateway = TestGateway::start().await;
    let response = gateway
        .post("/v1/assets?channel=sms&name=caf%E9+%80.jpg")
        .body(JPEG)
        .send()
        .await
        .unwrap();
    assert_eq!(stored(&gateway, response).await.0, "café €.jpg");
    let file = [
        &b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"caf\xe9.jpg\"\r\n\r\n"
            [..],
        JPEG,
    ]
    .concat();
    let field = b"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nna\xefve.jpg\r\n";
    for (body, name) in [
        (file.clone(), "café.jpg"),
        ([&field[..], &file].concat(), "naïve.jpg"),
    ] {
        let request = gateway
            .post("/v1/assets?channel=sms")
            .header(CONTENT_TYPE, "multipart/form-data; boundary=x");
        let response = request
            .body([&body[..], b"\r\n--x--\r\n"].concat())
            .send()
            .await
            .unwrap();
        assert_eq!(stored(&gateway, response).await.0, name);
    }
}

#[tokio::test]
async fn a_long_name_is_cut_and_keeps_its_extension() {
    let gateway = TestGateway::start().await;
    let (name, _) = stored(
        &gateway,
        post(
            &gateway,
            &format!("{}.jpg", "ä".repeat(254)),
            "image/jpeg",
            JPEG,
        )
        .await,
    )
    .await;
    assert_eq!((name.chars().count(), name.ends_with("ä.jpg")), (255, true));
}

#[tokio::test]
async fn a_policy_may_refuse_what_isnt_what_it_says() {
    let gateway = TestGateway::builder()
        .settings(&[("policy.on_mismatch", "refuse")])
        .start()
        .await;
    for (name, declared) in [
        ("scan.pdf", "application/pdf"),
        ("scan.png", "application/pdf"),
        ("scan.pdf", "image/png"),
    ] {
        let refusal = Refusal::of(post(&gateway, name, declared, PNG).await).await;
        assert_eq!(
            refusal.told(),
            (415, "type-not-allowed", "caller", "policy"),
            "{name} declared as {declared}"
        );
    }
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
    assert_eq!(
        stored(&gateway, post(&gateway, "scan", "image/png", PNG).await)
            .await
            .0,
        "scan.png",
        "a completion is no contradiction"
    );
}

#[tokio::test]
async fn programs_and_scripts_are_refused_whatever_they_call_themselves() {
    let gateway = TestGateway::start().await;
    let large = [EXE, &[0x90; 200_000]].concat();
    for bytes in [
        EXE,
        &large,
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
        b"#!/bin/sh\nrm -rf /\n",
    ] {
        for (name, declared) in [
            ("photo.jpg", "image/jpeg"),
            ("setup.exe", "application/octet-stream"),
            ("notes", "text/plain"),
        ] {
            let refusal = Refusal::of(post(&gateway, name, declared, bytes).await).await;
            assert_eq!(
                refusal.told(),
                (415, "type-not-allowed", "caller", "policy"),
                "{name}"
            );
        }
    }
    for (name, bytes) in [
        ("run.bat", &b"del *.*"[..]),
        ("run.ps1", b"Remove-Item *"),
        ("a.jar", b"PK\x03\x04"),
    ] {
        let refusal = Refusal::of(post(&gateway, name, "text/plain", bytes).await).await;
        assert_eq!(refusal.kind(), (415, "type-not-allowed"), "{name}");
    }
    let chunked = in_chunks(
        gateway.post("/v1/assets?channel=sms&name=photo.jpg"),
        &large,
    )
    .await;
    assert_eq!(Refusal::of(chunked).await.kind(), (415, "type-not-allowed"));
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_rule_can_be_tried_before_it_bites() {
    let gateway = TestGateway::builder()
        .settings(&[("policy.allow", "audio/*"), ("policy.report_only", "true")])
        .start()
        .await;
    stored(
        &gateway,
        post(&gateway, "photo.jpg", "image/jpeg", JPEG).await,
    )
    .await;
    assert_eq!(
        gateway
            .metric("rejected_total{code=\"would_reject\"}")
            .await,
        1.0
    );
    let gateway = TestGateway::builder()
        .settings(&[("policy.allow", "audio/*")])
        .start()
        .await;
    assert_eq!(
        Refusal::of(post(&gateway, "photo.jpg", "image/jpeg", JPEG).await)
            .await
            .kind(),
        (415, "type-not-allowed")
    );
}

#[tokio::test]
async fn a_raw_file_may_be_named_by_its_disposition() {
    let gateway = TestGateway::start().await;
    for (disposition, query, name) in [
        ("attachment; filename=\"photo.jpg\"", "", "photo.jpg"),
        (
            "attachment; filename*=UTF-8''f%C3%BCr%20dich.jpg",
            "",
            "für dich.jpg",
        ),
        (
            "attachment; filename=\"photo.jpg\"",
            "&name=mine.jpg",
            "mine.jpg",
        ),
        ("attachment", "", "upload.jpg"),
        ("?!;;;", "", "upload.jpg"),
    ] {
        let request = gateway
            .post(&format!("/v1/assets?channel=sms{query}"))
            .header(CONTENT_DISPOSITION, disposition);
        assert_eq!(
            stored(&gateway, request.body(JPEG).send().await.unwrap())
                .await
                .0,
            name,
            "{disposition}"
        );
    }
}

#[tokio::test]
async fn a_forms_file_name_is_read_in_every_notation() {
    let gateway = TestGateway::start().await;
    for (disposition, name) in [
        ("filename=\"für dich.jpg\"", "für dich.jpg"),
        (
            "filename=\"fuer.jpg\"; filename*=UTF-8''f%C3%BCr.jpg",
            "für.jpg",
        ),
        ("filename=photo.jpg", "photo.jpg"),
        ("filename=\"C:\\photos\\photo.jpg\"", "photo.jpg"),
        ("filename=\"say \\\"hi\\\".jpg\"", "say \"hi\".jpg"),
        ("filename=\"\"", "upload.jpg"),
        ("filename=\"写真\"", "写真.jpg"),
        ("filename=\"my%20photo.jpg\"", "my photo.jpg"),
        ("filename=\"50% off.jpg\"", "50% off.jpg"),
        ("filename*=utf-8''\"%E4%B8%AD.jpg\"", "中.jpg"),
        (
            "filename*0*=utf-8''%E4%B8;\r\n filename*1*=%AD;\r\n filename*2=\" (1).jpg\"",
            "中 (1).jpg",
        ),
        ("filename=\"می\u{200c}خواهم.jpg\"", "می\u{200c}خواهم.jpg"),
        (
            "filename=\"👨\u{200d}👩\u{200d}👧 trip.jpg\"",
            "👨\u{200d}👩\u{200d}👧 trip.jpg",
        ),
    ] {
        assert_eq!(
            stored(&gateway, post_form(&gateway, disposition).await)
                .await
                .0,
            name,
            "{disposition}"
        );
    }
}
