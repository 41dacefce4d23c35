//! What a signed URL costs: from the cache, and asked for anew. eGain's own answer takes hundreds
//! of milliseconds more than this upstream's.

#![expect(clippy::disallowed_methods, reason = "answers here are small")]

mod fixtures;
mod local_gateway;

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

use local_gateway::LocalGateway;

const PATH: &str = "/v1/assets/4096";

fn cache(criterion: &mut Criterion) {
    let gateway = LocalGateway::open();
    let mut group = criterion.benchmark_group("cache");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));

    let download = gateway.runtime.block_on(async { download(&gateway) });
    let id = AssetId::parse("4096").unwrap();
    group.bench_function("hit", |bencher| {
        bencher.iter(|| {
            gateway
                .runtime
                .block_on(download.metadata(&id, &Principal::Gateway, false))
                .unwrap()
        });
    });
    // Refreshed at most once in a while for callers; here each time.
    group.bench_function("miss", |bencher| {
        bencher.iter(|| {
            gateway
                .runtime
                .block_on(download.metadata(&id, &Principal::Gateway, true))
                .unwrap()
        });
    });
    group.bench_function("hit over HTTP", |bencher| {
        bencher.iter(|| gateway.runtime.block_on(get(&gateway)))
    });
    group.finish();
}

/// The part behind `GET /v1/assets/{id}`, without a listener.
fn download(gateway: &LocalGateway) -> DownloadService {
    let (mut parts, metrics) = (
        gateway.settings.build().unwrap(),
        Arc::new(ServiceMetrics::new()),
    );
    parts.download.negative_ttl = Duration::ZERO;
    let egain = EgainClient::new(parts.egain, metrics.clone()).unwrap();
    gateway.runtime.spawn(egain.clone().keep_signed_in());
    let storage = StorageClient::new(parts.storage, metrics.clone()).unwrap();
    DownloadService::new(egain, storage, parts.download, metrics)
}

async fn get(gateway: &LocalGateway) {
    let response = gateway.client.get(gateway.url(PATH)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap();
}

criterion_group!(benches, cache);
criterion_main!(benches);
