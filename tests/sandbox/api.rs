//! Tokens and the Asset API.

use std::time::Duration;

use asset_gateway::sandbox::{config::SandboxConfig, faults::SandboxOperation, limits::Plan};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use serde_json::json;

use crate::customer::{Customer, declaration, json, refusal, text};

#[tokio::test]
async fn a_file_goes_in_and_comes_out_again() {
    let customer = Customer::new().await;
    let (id, url) = customer.create("note.txt", 5).await;
    assert_eq!(id.len(), 36);
    assert_eq!(
        customer
            .upload(&url, "hello")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    let asset = json(customer.get(&id).await).await;
    assert_eq!(
        (&asset["id"], &asset["name"], &asset["size"]),
        (&json!(id), &json!("note.txt"), &json!(5))
    );
    assert_eq!(asset["contentType"], "text/plain");
    let again = json(customer.get(&id).await).await;
    assert_ne!(text(&asset, "contentUrl"), text(&again, "contentUrl"));
    let answer = customer
        .client
        .get(text(&asset, "contentUrl"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.content_length()),
        (200, Some(5))
    );
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert_eq!(
        std::fs::read(customer.sandbox.file(&id).unwrap()).unwrap(),
        b"hello"
    );
    assert_eq!(customer.delete(&id).await.status(), 204);
    assert_eq!(
        refusal(customer.get(&id).await).await,
        (404, "404-101".into())
    );
    assert_eq!(
        refusal(customer.delete(&id).await).await,
        (404, "404-101".into())
    );
    assert_eq!(
        customer
            .client
            .get(text(&asset, "contentUrl"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn the_api_is_closed_without_a_good_token() {
    let mut customer = Customer::of(SandboxConfig {
        token_life: Duration::from_millis(300),
        ..SandboxConfig::default()
    })
    .await;
    assert_eq!(
        customer
            .client
            .get(customer.api("/assets/1"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        refusal(customer.get("1").await).await,
        (401, "401-104".into())
    );
    customer.token = "guessed".to_owned();
    assert_eq!(
        refusal(customer.declare(json!({})).await).await,
        (401, "401-104".into())
    );
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_say() {
    let read = "app.conversation.conversationmgr.interaction.read";
    let scopes = vec![
        read.to_owned(),
        "app.conversation.conversationmgr.manage".to_owned(),
    ];
    let customer = Customer::of(SandboxConfig {
        scopes,
        ..SandboxConfig::default()
    })
    .await;
    assert_eq!(
        refusal(customer.get("1").await).await,
        (404, "404-101".into())
    );
    assert_eq!(
        refusal(customer.delete("1").await).await,
        (403, "403-197".into())
    );
    assert_eq!(
        refusal(customer.declare(declaration("a.txt", 1)).await).await,
        (403, "403-197".into())
    );
    let answer = customer
        .ask_token(&[("scope", "https://api.egain.cloud/auth/app.other")])
        .await;
    assert_eq!(json(answer).await["error"], "invalid_scope");
}

#[tokio::test]
async fn a_wrong_client_gets_no_token() {
    let customer = Customer::new().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "x"),
        ("client_secret", "y"),
        ("scope", "z"),
    ];
    let answer = customer
        .client
        .post(customer.sandbox.token_url())
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(json(answer).await["error"], "invalid_client");
    let answer = customer
        .client
        .post(customer.sandbox.token_url())
        .json(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(json(answer).await["error"], "invalid_request");
}

#[tokio::test]
async fn a_declaration_is_taken_to_the_letter() {
    let customer = Customer::new().await;
    let mut body = declaration("a.txt", 5);
    body["contentType"] = json!("text/plain");
    assert_eq!(
        refusal(customer.declare(body).await).await,
        (400, "400-420".into())
    );
    assert_eq!(
        refusal(customer.declare(json!({})).await).await,
        (400, "400-143".into())
    );
    assert_eq!(
        refusal(customer.declare(declaration("a", 5)).await).await,
        (400, "400-152".into())
    );
    assert_eq!(
        refusal(
            customer
                .declare(declaration("a.txt", 10 * 1024 * 1024 + 1))
                .await
        )
        .await
        .1,
        "400-152"
    );
    assert_eq!(
        refusal(customer.get("1?expand=all").await).await,
        (400, "400-101".into())
    );
    assert!(customer.sandbox.assets().is_empty());
}

#[tokio::test]
async fn a_message_for_users_comes_only_when_asked_for() {
    let customer = Customer::new().await;
    let ask = || {
        customer
            .client
            .get(customer.api("/assets/1"))
            .bearer_auth(&customer.token)
    };
    assert!(json(ask().send().await.unwrap()).await["userMessage"].is_null());
    let answer = ask()
        .header("X-egain-error-message", "yes")
        .send()
        .await
        .unwrap();
    assert!(json(answer).await["userMessage"].is_string());
}

#[tokio::test]
async fn an_asset_without_its_file_is_not_available_yet() {
    let customer = Customer::new().await;
    let (id, _) = customer.create("note.txt", 5).await;
    assert_eq!(
        refusal(customer.get(&id).await).await,
        (400, "400-766".into())
    );
}

#[tokio::test]
async fn calls_beyond_the_plan_get_retry_after() {
    let customer = Customer::of(SandboxConfig {
        plan: Some(Plan::BASIC),
        ..SandboxConfig::default()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(customer.get("1").await.status(), 404);
    }
    let answer = customer.declare(declaration("a.txt", 1)).await;
    assert_eq!(answer.headers()["x-ratelimit-limit"], "3");
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "0");
    assert!(answer.headers().get("retry-after").is_none());
    let reset: Timestamp = answer.headers()["x-ratelimit-reset"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(reset < Timestamp::now() + SignedDuration::from_secs(2));
    assert_eq!(refusal(answer).await, (429, "429-001".into()));
    assert_eq!(customer.delete("1").await.status(), 404);
    assert_eq!(
        customer
            .sandbox
            .stats()
            .answers(SandboxOperation::GetAsset, http::StatusCode::NOT_FOUND),
        3
    );
}

#[tokio::test]
async fn a_skewed_clock_shows_in_date_and_expiry() {
    let customer = Customer::of(SandboxConfig {
        clock_skew: SignedDuration::from_hours(-2),
        ..SandboxConfig::default()
    })
    .await;
    let answer = customer.declare(declaration("a.txt", 1)).await;
    let date = rfc2822::parse(answer.headers()["date"].to_str().unwrap())
        .unwrap()
        .timestamp();
    let expiry: Timestamp = text(&json(answer).await, "contentUrlExpiry")
        .parse()
        .unwrap();
    let hour = SignedDuration::from_hours(1);
    assert!(date < Timestamp::now() - hour && expiry < Timestamp::now() - hour);
}

#[tokio::test]
async fn signed_urls_lead_to_the_public_base() {
    let public_base = Some("https://assets.example/egain".parse().unwrap());
    let listen = SandboxConfig::default();
    let sandbox = asset_gateway::sandbox::Sandbox::start(SandboxConfig {
        public_base,
        ..listen
    })
    .unwrap();
    assert_eq!(
        sandbox.base_url().as_str(),
        "https://assets.example/egain/conversation/conversationmgr/v3"
    );
    assert_eq!(
        sandbox.token_url().as_str(),
        "https://assets.example/egain/token"
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn nothing_else_is_there() {
    let customer = Customer::new().await;
    assert_eq!(
        customer
            .client
            .get(customer.api("/nothing"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let answer = customer
        .client
        .put(customer.api("/assets/1"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["allow"]),
        (405, &"GET, DELETE".parse().unwrap())
    );
}
