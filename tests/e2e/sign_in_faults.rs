//! A token endpoint that is down, slow or lying.

use std::time::Duration;

use asset_gateway::sandbox::faults::{Fault, Operation};
use reqwest::StatusCode;
use serde_json::json;

use crate::house::{House, eventually};
use crate::refusal::Refusal;

fn token() -> Fault {
    Fault::at(Operation::Token)
}

/// A house whose eGain has given out no token yet, and fails in giving one.
async fn house_with(fault: &Fault, settings: &[(&str, &str)]) -> House {
    let house = House::set(settings).await;
    house.sandbox.fault(fault.clone());
    house
}

#[tokio::test]
async fn without_a_token_no_call_is_spent_and_the_blame_is_where_it_belongs() {
    let credentials = json!({"error": "invalid_client", "error_description": "unknown client"});
    for (fault, told) in [
        (token().status(StatusCode::SERVICE_UNAVAILABLE), (503, "upstream-unavailable", "egain", "sign")),
        (token().status(StatusCode::TOO_MANY_REQUESTS), (503, "upstream-unavailable", "egain", "sign")),
        (token().close(), (503, "upstream-unavailable", "egain", "sign")),
        (token().stall(), (504, "upstream-timeout", "egain", "sign")),
        (token().status(StatusCode::UNAUTHORIZED).body(credentials), (502, "upstream-error", "gateway", "sign")),
        (token().status(StatusCode::OK).body("<html>Sign in</html>"), (502, "upstream-error", "egain", "sign")),
        (token().missing_field("access_token"), (502, "upstream-error", "egain", "sign")),
    ] {
        let house = house_with(&fault, &[("egain.request_timeout", "1s"), ("egain.budget_wait", "1s")]).await;
        let refusal = Refusal::of(house.post("/v1/assets?channel=sms").body("text").send().await.unwrap()).await;
        assert_eq!(refusal.told(), told, "{fault:?}");
        assert_eq!(refusal.retry_after.is_some(), told.0 == 503, "{fault:?}");
        assert_eq!(house.sandbox.stats().calls(Operation::CreateAsset), 0, "{fault:?}");

        house.sandbox.reset();
        house.upload("a.txt", b"text".to_vec()).await;
    }
}

#[tokio::test]
async fn a_slow_sign_in_is_waited_for_and_shared() {
    let house = house_with(&token().delay(Duration::from_millis(300)), &[]).await;
    let uploads = (0..5).map(|_| house.upload("a.txt", b"text".to_vec()));
    futures_util::future::join_all(uploads).await;
    assert_eq!(house.sandbox.stats().calls(Operation::Token), 1);
    assert_eq!(house.left_upstream(5).await, 5);
}

#[tokio::test]
async fn a_token_that_is_refused_before_its_time_is_replaced_once() {
    let house = House::open().await;
    house.upload("a.txt", b"text".to_vec()).await;
    house.sandbox.fault(Fault::at(Operation::CreateAsset).status(StatusCode::UNAUTHORIZED).once());
    house.upload("b.txt", b"text".to_vec()).await;
    let stats = house.sandbox.stats();
    assert_eq!((stats.calls(Operation::Token), stats.calls(Operation::CreateAsset)), (2, 3));
}

#[tokio::test]
async fn a_lifetime_in_any_form_is_understood() {
    for fault in [
        token().missing_field("expires_in"),
        token().field("expires_in", "3600"),
        token().field("expires_in", -1),
        token().field("expires_in", json!({})),
    ] {
        let house = house_with(&fault, &[]).await;
        house.upload("a.txt", b"text".to_vec()).await;
        assert_eq!(house.sandbox.stats().calls(Operation::Token), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_short_lived_token_is_replaced_before_it_ends() {
    let house = house_with(&token().field("expires_in", 2), &[]).await;
    house.upload("a.txt", b"text".to_vec()).await;
    assert!(eventually(|| house.sandbox.stats().calls(Operation::Token) >= 2).await);
    house.upload("b.txt", b"text".to_vec()).await;
    assert_eq!(house.sandbox.stats().answers(Operation::CreateAsset, StatusCode::UNAUTHORIZED), 0);
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_costs_one_call_as_there_is_no_other_one() {
    let none = [("egain.token_url", ""), ("egain.client_id", ""), ("egain.client_secret", "")];
    let house = House::set(&[none.as_slice(), &[("egain.token", "nobody-knows-it")]].concat()).await;
    let refusal = Refusal::of(house.post("/v1/assets?channel=sms").body("text").send().await.unwrap()).await;
    assert_eq!(refusal.told(), (502, "upstream-error", "gateway", "sign"));
    assert_eq!(house.sandbox.stats().calls(Operation::CreateAsset), 1);
}
