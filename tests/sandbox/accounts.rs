//! The Account and Channel APIs.

use asset_gateway::sandbox::{config::SandboxConfig, faults::SandboxOperation, limits::Plan};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::customer::{Customer, json, refusal, text};

impl Customer {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let request = self
            .client
            .request(method, self.api(path))
            .bearer_auth(&self.token);
        body.into_iter()
            .fold(request, |request, body| request.json(body))
            .send()
            .await
            .unwrap()
    }

    fn channel(&self, kind: &str) -> String {
        let channels = self.sandbox.channels();
        text(
            channels
                .iter()
                .find(|channel| channel["type"] == kind)
                .expect("it is a sample"),
            "id",
        )
    }

    /// An account as eGain's documents have it, for a channel of this type.
    fn account(&self, kind: &str, address: &str) -> Value {
        json!({
            "name": format!("An account of {kind}"),
            "address": address,
            "channel": {"id": self.channel(kind)},
            "chatConfigurations": {
                "orchestration": {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
                "entryPoint": {"id": "1001"},
            },
            "attributes": [
                {"name": "accountSid", "value": "AC1"},
                {"name": "authToken", "value": "hidden"},
            ],
        })
    }
}

const VARIANTS: [(&str, &str); 4] = [
    ("custom.teams", "support@example.com"),
    ("google_business_messaging", "brands/3f2504e0/agents/9a0b"),
    ("sms_twilio", "+14155550100"),
    ("whatsapp", "14155550100"),
];

#[tokio::test]
async fn each_variant_is_created_listed_replaced_and_deleted() {
    let customer = Customer::new().await;
    for (kind, address) in VARIANTS {
        let created = customer
            .call(
                Method::POST,
                "/accounts",
                Some(&customer.account(kind, address)),
            )
            .await;
        assert_eq!(created.status(), 201, "{kind}");
        let path = format!("/accounts/{}", text(&json(created).await, "id"));
        let mut account = json(customer.call(Method::GET, &path, None).await).await;
        assert_eq!(
            (
                &account["active"],
                &account["chatConfigurations"]["timeout"]
            ),
            (&json!(true), &json!(240))
        );
        account["description"] = json!("changed");
        assert_eq!(
            customer
                .call(Method::PUT, &path, Some(&account))
                .await
                .status(),
            204
        );
        // The same lock again is an old one.
        let stale = customer.call(Method::PUT, &path, Some(&account)).await;
        assert_eq!(refusal(stale).await, (409, "409-100".into()));
    }
    let list = json(customer.call(Method::GET, "/accounts", None).await).await;
    let accounts = list["account"].as_array().unwrap();
    assert_eq!((accounts.len(), list.get("paginationInfo")), (4, None));
    for account in accounts {
        assert_eq!(account["description"], "changed");
        let path = format!("/accounts/{}", text(account, "id"));
        assert_eq!(
            customer.call(Method::DELETE, &path, None).await.status(),
            204
        );
        assert_eq!(
            refusal(customer.call(Method::GET, &path, None).await).await,
            (404, "404-101".into())
        );
    }
}

#[tokio::test]
async fn an_account_is_held_to_its_schema() {
    let customer = Customer::new().await;
    let good = customer.account("sms_twilio", "+14155550100");
    let long = "x".repeat(256);
    for (pointer, value, code) in [
        ("/name", Value::Null, "400-143"),
        ("/name", json!(""), "400-152"),
        ("/name", json!(long), "400-152"),
        ("/address", json!("14155550100"), "400-152"),
        ("/channel", json!({"id": "short"}), "400-152"),
        (
            "/channel",
            json!({"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
            "400-152",
        ),
        ("/chatConfigurations", Value::Null, "400-143"),
        ("/chatConfigurations/timeout", json!(2), "400-152"),
        ("/chatConfigurations/timeout", json!(10081), "400-152"),
        (
            "/chatConfigurations/onAgentUnavailability",
            json!("hang_up"),
            "400-152",
        ),
        ("/chatConfigurations/entryPoint", json!({}), "400-143"),
        ("/chatConfigurations/colour", json!("red"), "400-420"),
        ("/colour", json!("red"), "400-420"),
        ("/id", json!("mine"), "400-420"),
        ("/attributes", json!([]), "400-152"),
        (
            "/attributes",
            json!([{"name": "accountSid", "value": "AC1"}]),
            "400-143",
        ),
    ] {
        let mut account = good.clone();
        let (above, name) = pointer.rsplit_once('/').unwrap();
        let above = account.pointer_mut(above).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            drop(above.remove(name))
        } else {
            drop(above.insert(name.to_owned(), value))
        }
        let refused = customer
            .call(Method::POST, "/accounts", Some(&account))
            .await;
        assert_eq!(refusal(refused).await, (400, code.to_owned()), "{account}");
    }
    assert_eq!(
        customer
            .call(Method::POST, "/accounts", Some(&good))
            .await
            .status(),
        201
    );
    let twice = customer.call(Method::POST, "/accounts", Some(&good)).await;
    assert_eq!(refusal(twice).await, (409, "409-101".into()));
}

#[tokio::test]
async fn lists_come_in_pages_where_pages_are_asked_for() {
    let customer = Customer::new().await;
    let page = json(
        customer
            .call(Method::GET, "/channels?$pagenum=2&$pagesize=3", None)
            .await,
    )
    .await;
    assert_eq!(page["channel"].as_array().unwrap().len(), 1);
    assert_eq!(
        page["paginationInfo"],
        json!({"count": 4, "pagenum": 2, "pagesize": 3})
    );
    for query in ["$pagesize=0", "$pagenum=x", "$order=name"] {
        let refused = customer
            .call(Method::GET, &format!("/channels?{query}"), None)
            .await;
        assert_eq!(refused.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn a_channel_lists_its_attachments_and_can_be_changed() {
    let customer = Customer::new().await;
    let path = format!("/channels/{}", customer.channel("whatsapp"));
    let mut channel = json(customer.call(Method::GET, &path, None).await).await;
    let policy = &channel["restrictions"]["outbound"]["attachmentPolicy"];
    assert_eq!(
        (&policy["type"], &policy["maxSize"]),
        (&json!("allow"), &json!(5_242_880))
    );
    channel["active"] = json!(false);
    let control = format!("http://{}/_sandbox/channels", customer.sandbox.addr());
    assert_eq!(
        customer
            .client
            .post(control)
            .json(&channel)
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(
        json(customer.call(Method::GET, &path, None).await).await,
        channel
    );
    assert_eq!(
        refusal(customer.call(Method::GET, "/channels/none", None).await).await,
        (404, "404-101".into())
    );
}

#[tokio::test]
async fn accounts_need_own_scopes_and_share_the_routes_rate() {
    let scope = |name: &str| vec![format!("app.conversation.conversationmgr.{name}")];
    let customer = Customer::of(SandboxConfig {
        scopes: scope("read"),
        ..SandboxConfig::default()
    })
    .await;
    assert_eq!(
        customer.call(Method::GET, "/accounts", None).await.status(),
        200
    );
    assert_eq!(
        customer.call(Method::GET, "/channels", None).await.status(),
        200
    );
    let account = customer.account("custom.teams", "support@example.com");
    assert_eq!(
        refusal(
            customer
                .call(Method::POST, "/accounts", Some(&account))
                .await
        )
        .await,
        (403, "403-197".into())
    );
    assert_eq!(
        customer
            .call(Method::DELETE, "/accounts/1", None)
            .await
            .status(),
        403
    );
    let customer = Customer::of(SandboxConfig {
        scopes: scope("interaction.manage"),
        ..SandboxConfig::default()
    })
    .await;
    assert_eq!(
        customer.call(Method::GET, "/accounts", None).await.status(),
        403
    );
    let customer = Customer::of(SandboxConfig {
        plan: Some(Plan::BASIC),
        ..SandboxConfig::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(
            customer.call(Method::GET, "/accounts", None).await.status(),
            200
        );
    }
    assert_eq!(
        refusal(customer.call(Method::GET, "/channels", None).await).await,
        (429, "429-001".into())
    );
    assert_eq!(
        customer
            .sandbox
            .stats()
            .calls(SandboxOperation::ListAccounts),
        2
    );
}
