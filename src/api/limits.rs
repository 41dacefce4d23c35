//! `GET /v1/limits`: what a caller may send, before it sends it.

use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json as object};
use std::sync::Arc;

use super::response::json;
use super::state::ApiState;
use crate::body::BoxBody;
use crate::policy::attachments::ExtensionRule;
use crate::types::caller::AuthenticatedCaller;
use crate::types::error::Error;
use crate::upload::EffectiveRules;

/// A rule may change at any time, and the gateway's own copy is minutes old at most.
const FRESH: HeaderValue = HeaderValue::from_static("private, max-age=60");

impl ApiState {
    pub(super) async fn limits(
        &self,
        caller: &Arc<AuthenticatedCaller>,
        head: &Parts,
    ) -> Result<Response<BoxBody>, Error> {
        let allowance = self.upload.allowance(caller, head).await?;
        let mut response = json(StatusCode::OK, &shown(&allowance));
        response.headers_mut().insert(CACHE_CONTROL, FRESH);
        Ok(response)
    }
}

fn shown(allowance: &EffectiveRules) -> Value {
    let mut kinds = Map::new();
    for of_kind in &allowance.kinds {
        let (kind, source): (&str, &str) = (of_kind.kind.into(), of_kind.source.into());
        let mut shown = object!({"maxSize": of_kind.max_size, "source": source});
        if let Some(types) = &of_kind.types {
            shown["allowedTypes"] = object!(types);
        }
        kinds.insert(kind.to_owned(), shown);
    }
    let mut shown = object!({
        "channel": allowance.channel,
        "sender": allowance.sender.name(),
        "attachments": allowance.enabled,
        "kinds": kinds,
    });
    match &allowance.extensions {
        ExtensionRule::Any => {}
        ExtensionRule::Allow(allowed) => shown["allowedExtensions"] = object!(allowed),
        ExtensionRule::Block(blocked) => shown["blockedExtensions"] = object!(blocked),
    }
    shown
}
