//! What a signed URL costs: from the cache, and asked for anew. eGain's own answer takes hundreds of
//! milliseconds more than this upstream's.

#![expect(clippy::disallowed_methods, reason = "answers here are small")]

mod fixtures;
mod house;

use std::sync::Arc;
use std::time::Duration;

use asset_gateway::download::Download;
use asset_gateway::egain::Egain;
use asset_gateway::signals::metrics::Metrics;
use asset_gateway::storage::Storage;
use asset_gateway::words::asset::AssetId;
use asset_gateway::words::caller::Claimant;
use criterion::{Criterion, criterion_group, criterion_main};
use reqwest::StatusCode;

use house::House;

const PATH: &str = "/v1/assets/4096";

fn cache(criterion: &mut Criterion) {
    let house = House::open();
    let mut group = criterion.benchmark_group("cache");
    group.sample_size(50).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));

    let download = house.runtime.block_on(async { download(&house) });
    let id = AssetId::parse("4096").unwrap();
    group.bench_function("hit", |bencher| {
        bencher.iter(|| house.runtime.block_on(download.metadata(&id, &Claimant::Gateway, false)).unwrap());
    });
    group.bench_function("miss", |bencher| {
        bencher.iter(|| house.runtime.block_on(download.metadata(&id, &Claimant::Gateway, true)).unwrap());
    });
    for (name, cache_control) in [("hit over HTTP", "max-age=60"), ("miss over HTTP", "no-cache")] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| house.runtime.block_on(get(&house, cache_control)));
        });
    }
    group.finish();
}

/// The part behind `GET /v1/assets/{id}`, without a listener.
fn download(house: &House) -> Download {
    let (parts, metrics) = (house.settings.parts().unwrap(), Arc::new(Metrics::new()));
    let egain = Egain::new(parts.egain, metrics.clone()).unwrap();
    house.runtime.spawn(egain.clone().keep_signed_in());
    let storage = Storage::new(parts.storage, metrics.clone()).unwrap();
    Download::new(egain, storage, parts.download, metrics)
}

async fn get(house: &House, cache_control: &str) {
    let response = house.client.get(house.url(PATH)).header("cache-control", cache_control).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap();
}

criterion_group!(benches, cache);
criterion_main!(benches);
