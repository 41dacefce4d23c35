//! What telling a type costs: once an upload, so it must be lost beside the first network packet.

mod fixtures;

use std::hint::black_box;
use std::time::Duration;

use asset_gateway::media;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use fixtures::{FRAME, filled};

/// The dearest case of zip: each header must be searched for.
fn crowded_zip() -> Vec<u8> {
    filled(b"", b"PK\x03\x04\x14\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt")
}

fn sniffer(c: &mut Criterion) {
    let cases = [
        ("jpeg", filled(b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\xa5\0\x5a"), "photo.jpg"),
        ("mp4", filled(b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1", b"\xa5\0\x5a"), "clip.mp4"),
        ("zip", crowded_zip(), "report.docx"),
        ("ascii", filled(b"", b"plain words, one after another\n"), "notes.txt"),
        ("utf8", filled(b"", "Grüße aus Köln €\n".as_bytes()), "notes.txt"),
        ("json", filled(b"[", b"{\"key\": \"value\", \"n\": 12.5},\n"), "data.json"),
        ("unknown", filled(b"\x01\x02\x03", b"\xa5\0\x5a"), "thing.xyz"),
    ];
    let mut group = c.benchmark_group("sniff");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(FRAME as u64));
    for (name, head, file) in &cases {
        group.bench_function(*name, |b| {
            b.iter(|| media::sniff(black_box(head), false, Some("application/octet-stream"), Some(file)))
        });
    }
    group.finish();

    let jpeg = media::sniff(&cases[0].1, false, None, None);
    c.bench_function("agree", |b| b.iter(|| media::agree(black_box(Some("C:\\Bilder\\Grüße aus Köln.png")), &jpeg)));
}

criterion_group!(benches, sniffer);
criterion_main!(benches);
