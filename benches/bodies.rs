//! What each body adapter costs, alone and as an upload puts them one over the other: 1 MiB in
//! frames as a server hands them on, and in the frames of a caller that sends next to nothing at a
//! time. "none" is the reading alone.
//!
//! The caller's body (`inbound`) and storage's leash exist only with a connection: `streaming` has
//! them.

mod fixtures;

use std::time::Duration;

use asset_gateway::body::digest::{DigestSlot, DigestingBody};
use asset_gateway::body::exact_length::ExactLengthBody;
use asset_gateway::body::min_rate::{MinRateBody, PaceLimits, caller_too_slow};
use asset_gateway::body::observed::ObservedBody;
use asset_gateway::types::error::{Error, ErrorCode, Stage};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body::Body;
use prometheus::IntCounter;

use fixtures::{FRAME, KIB, MIB, cut, drain, noise, ready};

fn bodies(criterion: &mut Criterion) {
    let counter = IntCounter::new("bytes", "bytes").unwrap();
    for (name, size) in [("64 KiB", FRAME), ("1 KiB", KIB)] {
        let frames = cut(noise(MIB).into(), size);
        let mut group = criterion.benchmark_group(format!("bodies in frames of {name}"));
        group
            .sample_size(50)
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(2));
        group.throughput(Throughput::Bytes(MIB as u64));
        group.bench_function("none", |bencher| bencher.iter(|| drain(ready(&frames))));
        group.bench_function("pace", |bencher| {
            bencher.iter(|| drain(paced(ready(&frames))))
        });
        group.bench_function("meter", |bencher| {
            bencher.iter(|| drain(ObservedBody::new(ready(&frames), counter.clone())))
        });
        group.bench_function("exact", |bencher| {
            bencher.iter(|| drain(exact(ready(&frames))))
        });
        group.bench_function("digest", |bencher| {
            bencher.iter(|| drain(digesting(ready(&frames))))
        });
        let together = || exact(ObservedBody::new(paced(ready(&frames)), counter.clone()));
        group.bench_function("pace, meter, exact", |bencher| {
            bencher.iter(|| drain(together()))
        });
        group.finish();
    }
}

fn paced<B>(body: B) -> MinRateBody<B> {
    MinRateBody::new(
        body,
        PaceLimits {
            idle: Duration::from_secs(60),
            min_rate: 1,
        },
        caller_too_slow,
    )
}

fn exact<B>(body: B) -> ExactLengthBody<B> {
    ExactLengthBody::new(
        body,
        MIB as u64,
        Box::new(|_| Error::caller(ErrorCode::LengthMismatch, Stage::Read, "")),
    )
}

fn digesting<B: Body<Data = Bytes, Error = Error>>(body: B) -> DigestingBody<B> {
    DigestingBody::new(body, None, DigestSlot::default())
}

criterion_group!(benches, bodies);
criterion_main!(benches);
