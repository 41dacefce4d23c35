//! What it costs to say no, over HTTP: the head is read, refused, and answered with a problem
//! document. Each is refused a step later than the one before. A flood of these must be cheaper
//! than what it keeps away.

mod fixtures;
mod local_gateway;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use reqwest::{RequestBuilder, StatusCode};

use local_gateway::{LocalGateway, RAW};

fn problem(criterion: &mut Criterion) {
    let gateway = LocalGateway::open();
    let mut group = criterion.benchmark_group("problem");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    let get = |path| gateway.client.get(gateway.url(path));
    let post = |path| {
        gateway.upload(
            path,
            RAW,
            &b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"[..],
        )
    };
    let mut measure = |name, expected, request: &dyn Fn() -> RequestBuilder| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| refused(&gateway, request(), expected))
        });
    };
    measure("no such route", StatusCode::NOT_FOUND, &|| {
        get("/v1/nothing")
    });
    measure("no such method", StatusCode::METHOD_NOT_ALLOWED, &|| {
        get("/v1/assets")
    });
    measure("a field that is missing", StatusCode::BAD_REQUEST, &|| {
        post("/v1/assets")
    });
    measure("a program", StatusCode::UNSUPPORTED_MEDIA_TYPE, &|| {
        post("/v1/assets?channel=sms")
    });
    group.finish();
}

fn refused(gateway: &LocalGateway, request: RequestBuilder, expected: StatusCode) {
    gateway.runtime.block_on(async {
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), expected);
        while response.chunk().await.unwrap().is_some() {}
    });
}

criterion_group!(benches, problem);
criterion_main!(benches);
