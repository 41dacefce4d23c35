//! The fixed work that `benches/regress` counts: `instructions SCENARIO UNITS` does a scenario so
//! many times, on one thread, and `--list` tells the scenarios with the units that are enough.
//! Nothing is timed here; `cargo bench` only does each once, to see that it works.

mod fixtures;
mod local_gateway;

use std::hint::black_box;
use std::time::Duration;

use asset_gateway::body::digest::{DigestSlot, DigestingBody};
use asset_gateway::body::exact_length::ExactLengthBody;
use asset_gateway::body::min_rate::{MinRateBody, PaceLimits, caller_too_slow};
use asset_gateway::body::multipart::{Boundary, FormEvent, FormParser};
use asset_gateway::body::observed::ObservedBody;
use asset_gateway::media;
use asset_gateway::types::asset::AssetDirection;
use asset_gateway::types::error::{Error, ErrorCode, Stage};
use bytes::Bytes;
use prometheus::IntCounter;
use reqwest::RequestBuilder;
use tokio::runtime::Builder;

use fixtures::{BOUNDARY, FRAME, KIB, MIB, cut, drain, filled, form, form_type, noise, ready};
use local_gateway::LocalGateway;

const UPLOAD: &str = "/v1/assets?channel=sms&name=photo.jpg";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";

struct Scenario {
    name: &'static str,
    /// Enough for what happens by the clock, such as the upkeep of a cache, to be lost among them.
    units: usize,
    work: fn(usize),
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "upload-raw-1MiB",
        units: 32,
        work: |units| upload(MIB, false, units),
    },
    Scenario {
        name: "upload-form-1MiB",
        units: 32,
        work: |units| upload(MIB, true, units),
    },
    Scenario {
        name: "upload-raw-4KiB",
        units: 64,
        work: |units| upload(4 * KIB, false, units),
    },
    Scenario {
        name: "download-1MiB",
        units: 96,
        work: |units| get(&format!("/v1/assets/{MIB}/content"), units),
    },
    Scenario {
        name: "lookup-cached",
        units: 192,
        work: |units| get("/v1/assets/4096", units),
    },
    Scenario {
        name: "adapters-1MiB",
        units: 256,
        work: adapters,
    },
    Scenario {
        name: "digest-1MiB",
        units: 2,
        work: digest,
    },
    Scenario {
        name: "form-reader-1MiB",
        units: 4,
        work: form_reader,
    },
    Scenario {
        name: "inspect-64KiB",
        units: 16,
        work: inspect,
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => SCENARIOS
            .iter()
            .for_each(|scenario| println!("{} {}", scenario.name, scenario.units)),
        [name, units] => {
            let scenario = SCENARIOS
                .iter()
                .find(|scenario| scenario.name == name)
                .expect("one of --list");
            (scenario.work)(units.parse().expect("a number of units"));
        }
        _ => SCENARIOS.iter().for_each(|scenario| (scenario.work)(1)),
    }
}

/// Client, gateway and upstream take turns on one thread, so that nothing depends on how threads
/// meet.
fn on_one_thread() -> LocalGateway {
    LocalGateway::on(Builder::new_current_thread().enable_all().build().unwrap())
}

fn repeat(gateway: &LocalGateway, units: usize, request: impl Fn() -> RequestBuilder) {
    (0..units).for_each(|_| gateway.ask(request()));
}

/// The first form is spooled, those after it stream: its framing is known by then.
fn upload(size: usize, as_form: bool, units: usize) {
    let (gateway, photo) = (on_one_thread(), photo(size));
    let (content_type, body) = if as_form {
        (form_type(), form(&photo))
    } else {
        ("image/jpeg".to_owned(), photo.into())
    };
    repeat(&gateway, units, || {
        gateway.upload(UPLOAD, &content_type, body.clone())
    });
}

/// A type that is told at a glance, lest looking at the bytes outweigh moving them; `inspect` looks
/// at all of them.
fn photo(size: usize) -> Vec<u8> {
    let mut photo = noise(size);
    photo[..JPEG.len()].copy_from_slice(JPEG);
    photo
}

fn get(path: &str, units: usize) {
    let gateway = on_one_thread();
    repeat(&gateway, units, || gateway.client.get(gateway.url(path)));
}

/// What a declared upload's bytes pass between the two connections.
fn adapters(units: usize) {
    let frames = frames();
    let (limits, counter) = (
        PaceLimits {
            idle: Duration::from_secs(60),
            min_rate: 1,
        },
        IntCounter::new("bytes", "bytes").unwrap(),
    );
    for _ in 0..units {
        let metered = ObservedBody::new(
            MinRateBody::new(ready(&frames), limits, caller_too_slow),
            counter.clone(),
        );
        let exact = ExactLengthBody::new(
            metered,
            MIB as u64,
            Box::new(|_| Error::caller(ErrorCode::LengthMismatch, Stage::Read, "")),
        );
        assert_eq!(drain(exact), MIB);
    }
}

fn digest(units: usize) {
    let frames = frames();
    for _ in 0..units {
        assert_eq!(
            drain(DigestingBody::new(
                ready(&frames),
                None,
                DigestSlot::default()
            )),
            MIB
        );
    }
}

/// Half of the file looks like a boundary until its last byte.
fn form_reader(units: usize) {
    let almost = format!("\r\n--{}X", &BOUNDARY[..BOUNDARY.len() - 1]);
    let file = [
        noise(MIB / 2),
        almost
            .bytes()
            .cycle()
            .take(MIB / 2 - 1)
            .chain([b'.'])
            .collect(),
    ]
    .concat();
    let (boundary, frames) = (
        Boundary::from_content_type(&form_type()).unwrap(),
        cut(form(&file), FRAME),
    );
    for _ in 0..units {
        let mut parser = FormParser::new(&boundary);
        for frame in &frames {
            parser.push(frame.clone());
            while let Some(event) = parser.next_event().unwrap() {
                black_box::<FormEvent>(event);
            }
        }
        parser.finish().unwrap();
    }
}

/// Type, name and verdict for a text, the dearest usual kind: each byte counts.
fn inspect(units: usize) {
    let policy = local_gateway::settings(([127, 0, 0, 1], 1).into())
        .build()
        .unwrap()
        .policy;
    let head = filled(b"", "Grüße aus Köln €\n".as_bytes());
    for _ in 0..units {
        let sniffed = media::sniff(
            black_box(&head),
            false,
            Some("text/plain"),
            Some("notes.txt"),
        );
        let agreed = media::agree(Some("C:\\Texte\\Grüße.pdf"), &sniffed);
        policy
            .check(&sniffed, &agreed, "sms", AssetDirection::Inbound)
            .unwrap();
    }
}

fn frames() -> Vec<Bytes> {
    cut(noise(MIB).into(), FRAME)
}
