//! Which operation a path and method mean.

use http::{HeaderValue, Method, StatusCode, header};

use super::operation::SandboxOperation;
use super::reply::SandboxReply;

/// Where eGain's API begins.
pub(super) const API: &str = "/conversation/conversationmgr/v3";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteTarget {
    Operation(SandboxOperation),
    Faults,
    ClearFaults,
    Oddities,
    Stats,
    Reset,
    PutChannel,
}

type Methods = &'static [(Method, RouteTarget)];

const fn operation(method: Method, operation: SandboxOperation) -> (Method, RouteTarget) {
    (method, RouteTarget::Operation(operation))
}

const TABLE: &[(&str, Methods)] = &[
    (
        "/token",
        &[operation(Method::POST, SandboxOperation::Token)],
    ),
    (
        "/conversation/conversationmgr/v3/assets",
        &[operation(Method::POST, SandboxOperation::CreateAsset)],
    ),
    (
        "/conversation/conversationmgr/v3/assets/{id}",
        &[
            operation(Method::GET, SandboxOperation::GetAsset),
            operation(Method::DELETE, SandboxOperation::DeleteAsset),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/accounts",
        &[
            operation(Method::POST, SandboxOperation::CreateAccount),
            operation(Method::GET, SandboxOperation::ListAccounts),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/accounts/{id}",
        &[
            operation(Method::GET, SandboxOperation::GetAccount),
            operation(Method::PUT, SandboxOperation::ReplaceAccount),
            operation(Method::DELETE, SandboxOperation::DeleteAccount),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/channels",
        &[operation(Method::GET, SandboxOperation::ListChannels)],
    ),
    (
        "/conversation/conversationmgr/v3/channels/{id}",
        &[operation(Method::GET, SandboxOperation::GetChannel)],
    ),
    (
        "/storage/{id}",
        &[
            operation(Method::POST, SandboxOperation::Upload),
            operation(Method::GET, SandboxOperation::Download),
            operation(Method::HEAD, SandboxOperation::Download),
        ],
    ),
    (
        "/_sandbox/faults",
        &[
            (Method::POST, RouteTarget::Faults),
            (Method::DELETE, RouteTarget::ClearFaults),
        ],
    ),
    (
        "/_sandbox/oddities",
        &[(Method::POST, RouteTarget::Oddities)],
    ),
    ("/_sandbox/stats", &[(Method::GET, RouteTarget::Stats)]),
    (
        "/_sandbox/channels",
        &[(Method::POST, RouteTarget::PutChannel)],
    ),
    ("/_sandbox/reset", &[(Method::POST, RouteTarget::Reset)]),
];

#[derive(Debug)]
pub(super) struct RouteTable(matchit::Router<Methods>);

impl RouteTable {
    pub(super) fn all() -> Self {
        let mut router = matchit::Router::new();
        for (path, methods) in TABLE {
            router
                .insert(*path, *methods)
                .expect("the table has no conflicts");
        }
        Self(router)
    }

    /// The target and the `{id}` in the path, empty if there is none.
    pub(super) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(RouteTarget, String), RouteError> {
        let Ok(found) = self.0.at(path) else {
            return Err(RouteError::Nowhere);
        };
        let Some((_, target)) = found.value.iter().find(|(known, _)| known == method) else {
            return Err(RouteError::WrongMethod(found.value));
        };
        let id = found.params.get("id").unwrap_or_default();
        Ok((*target, id.to_owned()))
    }
}

/// Why a request leads nowhere.
#[derive(Debug)]
pub(super) enum RouteError {
    Nowhere,
    WrongMethod(Methods),
}

impl RouteError {
    pub(super) fn into_reply(self) -> SandboxReply {
        match self {
            Self::Nowhere => SandboxReply::plain(StatusCode::NOT_FOUND, "there is nothing here"),
            Self::WrongMethod(methods) => {
                let allow = methods
                    .iter()
                    .map(|(method, _)| method.as_str())
                    .collect::<Vec<_>>()
                    .join(", ");
                let allow = HeaderValue::try_from(allow).expect("methods are plain words");
                SandboxReply::plain(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
                    .with(header::ALLOW, allow)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_without_conflicts_and_under_the_api() {
        let found = RouteTable::all()
            .find(&Method::GET, &format!("{API}/assets/7"))
            .unwrap();
        assert_eq!(
            found,
            (
                RouteTarget::Operation(SandboxOperation::GetAsset),
                "7".to_owned()
            )
        );
        let refused = RouteTable::all()
            .find(&Method::PUT, "/storage/7")
            .unwrap_err()
            .into_reply();
        assert_eq!(
            (refused.status.as_u16(), &refused.headers[header::ALLOW]),
            (405, &"POST, GET, HEAD".parse().unwrap())
        );
    }
}
