//! What a signed URL costs: from the cache, and asked for anew. eGain's own answer takes hundreds
//! of milliseconds more than this upstream's.

#![expect(clippy::disallowed_methods, reason = "answers here are small")]

mod fixtures;
mod house;

use std::sync::Arc;
use std::time::Duration;

use asset_gateway::download::DownloadService;
use asset_gateway::egain::EgainClient;
use asset_gateway::storage::StorageClient;
use asset_gateway::telemetry::metrics::ServiceMetrics;
use asset_gateway::types::asset::AssetId;
use asset_gateway::types::caller::Principal;
use criterion::{Criterion, criterion_group, criterion_main};
use reqwest::StatusCode;

use house::House;

const PATH: &str = "/v1/assets/4096";

fn cache(criterion: &mut Criterion) {
    let house = House::open();
    let mut group = criterion.benchmark_group("cache");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));

    let download = house.runtime.block_on(async { download(&house) });
    let id = AssetId::parse("4096").unwrap();
    group.bench_function("hit", |bencher| {
        bencher.iter(|| {
            house
                .runtime
                .block_on(download.metadata(&id, &Principal::Gateway, false))
                .unwrap()
        });
    });
    // Refreshed at most once in a while for callers; here each time.
    group.bench_function("miss", |bencher| {
        bencher.iter(|| {
            house
                .runtime
                .block_on(download.metadata(&id, &Principal::Gateway, true))
                .unwrap()
        });
    });
    group.bench_function("hit over HTTP", |bencher| {
        bencher.iter(|| house.runtime.block_on(get(&house)))
    });
    group.finish();
}

/// The part behind `GET /v1/assets/{id}`, without a listener.
fn download(house: &House) -> DownloadService {
    let (mut parts, metrics) = (
        house.settings.build().unwrap(),
        Arc::new(ServiceMetrics::new()),
    );
    parts.download.negative_ttl = Duration::ZERO;
    let egain = EgainClient::new(parts.egain, metrics.clone()).unwrap();
    house.runtime.spawn(egain.clone().keep_signed_in());
    let storage = StorageClient::new(parts.storage, metrics.clone()).unwrap();
    DownloadService::new(egain, storage, parts.download, metrics)
}

async fn get(house: &House) {
    let response = house.client.get(house.url(PATH)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap();
}

criterion_group!(benches, cache);
criterion_main!(benches);
