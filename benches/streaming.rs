//! The whole path over real sockets: a client, the gateway, and an upstream that throws away what
//! it is sent. "straight" is the same transfer without the gateway: the difference is what it
//! costs.

#![expect(
    clippy::disallowed_methods,
    reason = "a body of unknown length is what is measured"
)]

mod fixtures;
mod local_gateway;

use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::stream;
use reqwest::{Body, RequestBuilder};

use fixtures::{MIB, form, form_type, noise};
use local_gateway::{LocalGateway, RAW, SIZES, UPLOAD};

fn uploads(criterion: &mut Criterion) {
    let gateway = LocalGateway::open();
    let mut group = group(criterion, "upload");
    for (name, size) in SIZES {
        let file = Bytes::from(noise(size));
        let form = form(&file);
        group.throughput(Throughput::Bytes(size as u64));
        measure(&mut group, &gateway, &format!("raw, {name}"), || {
            gateway.upload(UPLOAD, RAW, file.clone())
        });
        measure(&mut group, &gateway, &format!("form, {name}"), || {
            gateway.upload(UPLOAD, &form_type(), form.clone())
        });
    }
    let file = Bytes::from(noise(10 * MIB));
    let form = form(&file);
    group.throughput(Throughput::Bytes(file.len() as u64));
    measure(&mut group, &gateway, "raw with SHA-256, 10 MiB", || {
        gateway.upload(&format!("{UPLOAD}&sha256=1"), RAW, file.clone())
    });
    // Without a Content-Length nothing can be derived: the file waits on disk until its end was
    // seen.
    measure(&mut group, &gateway, "form spooled, 10 MiB", || {
        let body = Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(form.clone())]));
        gateway.upload(UPLOAD, &form_type(), body)
    });
    let straight = format!("http://{}/storage/new", gateway.upstream);
    measure(&mut group, &gateway, "straight, 10 MiB", || {
        gateway.client.post(&straight).body(file.clone())
    });
    group.finish();
}

fn downloads(criterion: &mut Criterion) {
    let gateway = LocalGateway::open();
    let mut group = group(criterion, "download");
    for (name, size) in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        measure(&mut group, &gateway, name, || {
            gateway
                .client
                .get(gateway.url(&format!("/v1/assets/{size}/content")))
        });
    }
    let straight = format!("http://{}/storage/{}", gateway.upstream, 10 * MIB);
    measure(&mut group, &gateway, "straight, 10 MiB", || {
        gateway.client.get(&straight)
    });
    group.finish();
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    group
}

/// One request after the other on one connection, each to its answer's last byte.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    gateway: &LocalGateway,
    name: &str,
    request: impl Fn() -> RequestBuilder,
) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| gateway.ask(request()));
    });
}

criterion_group!(benches, uploads, downloads);
criterion_main!(benches);
