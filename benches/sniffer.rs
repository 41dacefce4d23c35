//! What it costs to look at a file: telling its type, agreeing on a name, and the verdict. Once an
//! upload, so it must be lost beside the first network packet.

mod fixtures;
mod local_gateway;

use std::hint::black_box;
use std::time::Duration;

use asset_gateway::media::{self, SniffedType};
use asset_gateway::types::asset::AssetDirection;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use fixtures::{FRAME, filled};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";

/// The dearest case of zip: each header must be searched for.
fn crowded_zip() -> Vec<u8> {
    filled(
        b"",
        b"PK\x03\x04\x14\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt",
    )
}

fn sniffer(c: &mut Criterion) {
    let cases = [
        ("jpeg", filled(JPEG, b"\xa5\0\x5a"), "photo.jpg"),
        (
            "mp4",
            filled(b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1", b"\xa5\0\x5a"),
            "clip.mp4",
        ),
        ("zip", crowded_zip(), "report.docx"),
        (
            "ascii",
            filled(b"", b"plain words, one after another\n"),
            "notes.txt",
        ),
        (
            "utf8",
            filled(b"", "Grüße aus Köln €\n".as_bytes()),
            "notes.txt",
        ),
        (
            "json",
            filled(b"[", b"{\"key\": \"value\", \"n\": 12.5},\n"),
            "data.json",
        ),
        (
            "unknown",
            filled(b"\x01\x02\x03", b"\xa5\0\x5a"),
            "thing.xyz",
        ),
    ];
    let mut group = c.benchmark_group("sniff");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(FRAME as u64));
    for (name, head, file) in &cases {
        group.bench_function(*name, |b| {
            b.iter(|| {
                media::sniff(
                    black_box(head),
                    false,
                    Some("application/octet-stream"),
                    Some(file),
                )
            })
        });
    }
    group.finish();
}

fn namer(c: &mut Criterion) {
    let jpeg = sniff(&filled(JPEG, b"\xa5"));
    let names = [
        ("kept", "photo.jpg".to_owned()),
        ("completed", "photo".to_owned()),
        ("replaced", "C:\\Bilder\\Grüße aus Köln.png".to_owned()),
        ("cut", "ü".repeat(1000)),
    ];
    let mut group = c.benchmark_group("agree");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    for (case, name) in &names {
        group.bench_function(*case, |b| {
            b.iter(|| media::agree(black_box(Some(name)), &jpeg))
        });
    }
    group.finish();
}

/// By the rules that hold where none are set: programs and scripts are refused.
fn policy(c: &mut Criterion) {
    let policy = local_gateway::settings(([127, 0, 0, 1], 1).into())
        .build()
        .unwrap()
        .policy;
    let files = [
        ("jpeg", JPEG),
        ("unknown", b"\x01\x02\xa5"),
        ("script", b"#!/bin/sh\n"),
    ];
    let mut group = c.benchmark_group("judge");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    for (case, head) in files {
        let sniffed = sniff(head);
        let agreed = media::agree(None, &sniffed);
        group.bench_function(case, |b| {
            b.iter(|| policy.check(black_box(&sniffed), &agreed, "sms", AssetDirection::Inbound))
        });
    }
    group.finish();
}

fn sniff(head: &[u8]) -> SniffedType {
    media::sniff(head, false, None, None)
}

criterion_group!(benches, sniffer, namer, policy);
criterion_main!(benches);
