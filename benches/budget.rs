//! What sharing eGain's calls costs, as far as it isn't waiting: a call that has its turn at once
//! (with its exchange over loopback), 64 claimants' calls at one time, a place in the queue behind
//! 64 claimants that is taken and given up, and a refusal.

mod fixtures;
mod local_gateway;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use asset_gateway::egain::{Asset, CallRate, EgainClient};
use asset_gateway::telemetry::metrics::ServiceMetrics;
use asset_gateway::types::asset::AssetId;
use asset_gateway::types::caller::Principal;
use asset_gateway::types::error::Error;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::{join_all, poll_immediate};

use local_gateway::LocalGateway;

const CLAIMANTS: usize = 64;
const PLENTY: CallRate = CallRate {
    per_second: 10_000.0,
    burst: 100_000,
};
/// One call, and then none for as long as a bench takes.
const SCARCE: CallRate = CallRate {
    per_second: 0.001,
    burst: 1,
};
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

type Call<'e> = Pin<Box<dyn Future<Output = Result<Asset, Error>> + 'e>>;

fn budget(criterion: &mut Criterion) {
    let gateway = LocalGateway::open();
    let id = AssetId::parse("4096").unwrap();
    let claimants: Vec<_> = (0..CLAIMANTS)
        .map(|number| Principal::named(&number.to_string()))
        .collect();
    let mut group = criterion.benchmark_group("budget");
    group
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));

    let egain = egain(&gateway, PLENTY, FOR_EVER);
    let call = |claimant| egain.get_asset(&id, claimant);
    group.bench_function("one call", |bencher| {
        bencher.iter(|| gateway.runtime.block_on(call(&claimants[0])).unwrap())
    });
    group.throughput(Throughput::Elements(CLAIMANTS as u64));
    group.bench_function("64 claimants' calls", |bencher| {
        bencher.iter(|| {
            gateway
                .runtime
                .block_on(join_all(claimants.iter().map(call)))
        });
    });

    group.throughput(Throughput::Elements(1));
    let hurried = spent(&gateway, &id, Duration::ZERO);
    group.bench_function("refusal", |bencher| {
        bencher.iter(|| {
            gateway
                .runtime
                .block_on(hurried.get_asset(&id, &claimants[0]))
                .unwrap_err()
        });
    });

    let patient = spent(&gateway, &id, FOR_EVER);
    let mut queue: Vec<Call> = claimants
        .iter()
        .map(|claimant| Box::pin(patient.get_asset(&id, claimant)) as Call)
        .collect();
    let answers = gateway
        .runtime
        .block_on(join_all(queue.iter_mut().map(poll_immediate)));
    assert!(answers.iter().all(Option::is_none), "they wait");
    group.bench_function("a place behind 64 claimants", |bencher| {
        bencher.iter(|| {
            gateway.runtime.block_on(poll_immediate(Box::pin(
                patient.get_asset(&id, &Principal::Gateway),
            )))
        });
    });
    group.finish();
}

/// Its only call was made.
fn spent(gateway: &LocalGateway, id: &AssetId, longest_wait: Duration) -> EgainClient {
    let egain = egain(gateway, SCARCE, longest_wait);
    gateway
        .runtime
        .block_on(egain.get_asset(id, &Principal::Gateway))
        .unwrap();
    egain
}

fn egain(gateway: &LocalGateway, assets: CallRate, budget_wait: Duration) -> EgainClient {
    let config = gateway.settings.build().unwrap().egain;
    let config = asset_gateway::egain::EgainConfig {
        assets,
        budget_wait,
        ..config
    };
    let egain = EgainClient::new(config, Arc::new(ServiceMetrics::new())).unwrap();
    gateway.runtime.spawn(egain.clone().keep_signed_in());
    egain
}

criterion_group!(benches, budget);
criterion_main!(benches);
