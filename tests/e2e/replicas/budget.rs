//! All replicas together make as many calls as the plan allows: not more, and hardly fewer.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use asset_gateway::sandbox::limits::{Plan, PlanRate};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use tokio::task::JoinHandle;

use super::Replicas;
use crate::support::gateway::eventually;

/// Replicas whose eGain allows exactly this, and refuses any call above it.
async fn replicas(count: usize, per_second: f64, burst: u32) -> Replicas {
    let rate = PlanRate { per_second, burst };
    let strict = SandboxConfig {
        plan: Some(Plan {
            assets: rate,
            other: rate,
            monthly: 100_000,
        }),
        ..SandboxConfig::default()
    };
    let (rate, burst) = (per_second.to_string(), burst.to_string());
    let replicas = count.to_string();
    let settings = [
        ("egain.rate", rate.as_str()),
        ("egain.burst", burst.as_str()),
        ("egain.replicas", replicas.as_str()),
        ("egain.budget_wait", "60s"),
    ];
    Replicas::start_with(count, strict, &settings).await
}

fn send(replicas: &Replicas, at: usize) -> JoinHandle<Response> {
    let request = replicas.gateways[at].post("/v1/assets?channel=sms&name=a.txt");
    let sending = request.body("hello").send();
    tokio::spawn(async { sending.await.unwrap() })
}

async fn all_stored(uploads: Vec<JoinHandle<Response>>) {
    for upload in uploads {
        assert_eq!(upload.await.unwrap().status(), StatusCode::CREATED);
    }
}

fn refused(replicas: &Replicas) -> u64 {
    let stats = replicas.sandbox.stats();
    stats.answers(SandboxOperation::CreateAsset, StatusCode::TOO_MANY_REQUESTS)
}

/// How often replicas have asked Redis for permits, or for anything else that takes a script.
fn scripts(replicas: &Replicas) -> u64 {
    let stats = replicas.redis.cli(&["INFO", "commandstats"]);
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = calls.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn replicas_use_the_whole_plan_and_not_more() {
    let replicas = replicas(3, 5.0, 15).await;
    let began = Instant::now();
    let uploads = (0..75).map(|number| send(&replicas, number % 3)).collect();
    all_stored(uploads).await;
    let (took, least) = (began.elapsed(), Duration::from_secs((75 - 15) / 5));
    assert_eq!(refused(&replicas), 0);
    assert!(took < least.mul_f64(1.05), "{took:?} and not {least:?}");
}

#[tokio::test]
async fn one_replica_alone_gets_the_whole_budget() {
    let replicas = replicas(3, 5.0, 15).await;
    let began = Instant::now();
    let uploads = (0..35).map(|_| send(&replicas, 0)).collect();
    all_stored(uploads).await;
    let (took, least) = (began.elapsed(), Duration::from_secs((35 - 15) / 5));
    assert_eq!(refused(&replicas), 0);
    assert!(took < least.mul_f64(1.1), "{took:?} and not {least:?}");
}

#[tokio::test]
async fn replicas_take_turns_whoever_has_more_to_do() {
    let replicas = replicas(2, 5.0, 1).await;
    let _crowd: Vec<_> = (0..40).map(|_| send(&replicas, 0)).collect();
    let created = || {
        replicas
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAsset)
    };
    eventually(|| created() > 1).await;
    let began = Instant::now();
    all_stored(vec![send(&replicas, 1)]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

/// However late the calls arrive.
#[tokio::test]
async fn replicas_with_a_burst_of_one_get_no_429() {
    let replicas = replicas(2, 5.0, 1).await;
    for delay in [150, 0, 90, 0] {
        let late = Fault::at(SandboxOperation::CreateAsset).delay(Duration::from_millis(delay));
        replicas.sandbox.fault(late.times(2));
    }
    let uploads = (0..12).map(|number| send(&replicas, number % 2)).collect();
    all_stored(uploads).await;
    assert_eq!(refused(&replicas), 0);
}

#[tokio::test]
async fn one_replicas_429_pauses_all_replicas() {
    let replicas = replicas(2, 1000.0, 1000).await;
    let pause = Fault::at(SandboxOperation::CreateAsset)
        .status(StatusCode::TOO_MANY_REQUESTS)
        .header(RETRY_AFTER, HeaderValue::from_static("2"));
    replicas.sandbox.fault(pause.once());
    let refused = send(&replicas, 0);
    let created = || {
        replicas
            .sandbox
            .stats()
            .calls(SandboxOperation::CreateAsset)
    };
    assert!(eventually(|| created() == 1).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    all_stored(vec![send(&replicas, 1)]).await;
    let took = began.elapsed();
    assert!((1500..2600).contains(&took.as_millis()), "{took:?}");
    all_stored(vec![refused]).await;
}

#[tokio::test]
async fn replicas_keep_to_their_shares_while_redis_is_lost() {
    let mut replicas = replicas(3, 15.0, 6).await;
    let mut uploads: Vec<_> = (0..180).map(|number| send(&replicas, number % 3)).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    replicas.redis.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(uploads.iter().any(|upload| !upload.is_finished()));
    replicas.redis.restart().await;
    replicas.all_see(true).await;
    uploads.push(send(&replicas, 0));
    all_stored(uploads).await;
    assert_eq!(refused(&replicas), 0);
}

#[tokio::test]
async fn replicas_keep_to_their_shares_while_redis_hangs() {
    let replicas = replicas(3, 15.0, 6).await;
    let uploads: Vec<_> = (0..180).map(|number| send(&replicas, number % 3)).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    replicas.redis.signal("STOP");
    tokio::time::sleep(Duration::from_secs(3)).await;
    replicas.redis.signal("CONT");
    all_stored(uploads).await;
    assert_eq!(refused(&replicas), 0);
}

#[tokio::test]
async fn under_load_permits_are_taken_several_at_a_time() {
    let replicas = replicas(2, 1000.0, 1000).await;
    let before = scripts(&replicas);
    let uploads = (0..400).map(|number| send(&replicas, number % 2)).collect();
    all_stored(uploads).await;
    let scripts = scripts(&replicas) - before;
    assert!(scripts < 200, "{scripts} scripts for 400 calls");
}

#[tokio::test]
async fn permits_of_a_replica_that_died_are_free_again() {
    let replicas = replicas(1, 0.5, 2).await;
    all_stored(vec![send(&replicas, 0)]).await;
    // It holds all permits, and is never seen again.
    let key = replicas.redis.cli(&["KEYS", "*:budget:assets"]);
    let now = replicas.redis.cli(&["TIME"]);
    let now = now.lines().next().unwrap();
    let dead = format!("0 2 {now}000000 0");
    replicas.redis.cli(&["HSET", &key, "replica:dead", &dead]);
    let began = Instant::now();
    all_stored(vec![send(&replicas, 0)]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
}
