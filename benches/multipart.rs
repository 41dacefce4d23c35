//! How fast a form is read: plain files, and bytes made to be slow. None may be slower by orders of
//! magnitude, as that would let one caller occupy a core.

mod fixtures;

use std::hint::black_box;
use std::time::Duration;

use asset_gateway::body::multipart::{Boundary, FormEvent, FormParser};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use fixtures::{BOUNDARY, FRAME, cut, form, form_type, noise};

/// A file's size, in bytes.
const SIZE: usize = 16 << 20;

fn multipart(criterion: &mut Criterion) {
    let almost = format!("\r\n--{}X", &BOUNDARY[..BOUNDARY.len() - 1]);
    let longer = format!("\r\n--{BOUNDARY}X");
    let padded = format!("\r\n--{BOUNDARY}{}X", " ".repeat(200));
    let cases = [
        ("random bytes", noise(SIZE), FRAME),
        ("CRLF flood", fill(SIZE, "\r\n"), FRAME),
        ("CRLF and hyphens", fill(SIZE, "\r\n--"), FRAME),
        ("boundary less its last byte", fill(SIZE, &almost), FRAME),
        ("boundary with a byte more", fill(SIZE, &longer), FRAME),
        (
            "boundary with a byte more, cut within it",
            fill(SIZE, &longer),
            longer.len() - 1,
        ),
        ("boundary with padding and text", fill(SIZE, &padded), FRAME),
        (
            "CRLF and hyphens, byte by byte",
            fill(SIZE / 16, "\r\n--"),
            1,
        ),
    ];
    let mut group = criterion.benchmark_group("multipart");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    for (name, file, chunk) in cases {
        let chunks = cut(form(&file), chunk);
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(read(&chunks), file.len()))
        });
    }
    group.finish();
}

fn read(chunks: &[Bytes]) -> usize {
    let boundary = Boundary::from_content_type(&form_type()).unwrap();
    let mut parser = FormParser::new(&boundary);
    let mut data = 0;
    for chunk in chunks {
        parser.push(chunk.clone());
        while let Some(event) = parser.next_event().unwrap() {
            if let FormEvent::Data(piece) = black_box(event) {
                data += piece.len();
            }
        }
    }
    parser.finish().unwrap();
    data
}

/// `piece` over and over. The last byte is another, lest the file end in half a delimiter and
/// complete it with the real one.
fn fill(size: usize, piece: &str) -> Vec<u8> {
    piece.bytes().cycle().take(size - 1).chain([b'.']).collect()
}

criterion_group!(benches, multipart);
criterion_main!(benches);
