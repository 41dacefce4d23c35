//! Which path and method asks for what.

use http::{HeaderValue, Method, StatusCode, header};

use super::faults::Operation;
use super::reply::Reply;

/// Where eGain's API begins.
pub(super) const API: &str = "/conversation/conversationmgr/v3";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Operation(Operation),
    Faults,
    Oddities,
    Stats,
    Reset,
    PutChannel,
}

type Methods = &'static [(Method, Target)];

const fn operation(method: Method, operation: Operation) -> (Method, Target) {
    (method, Target::Operation(operation))
}

const TABLE: &[(&str, Methods)] = &[
    ("/token", &[operation(Method::POST, Operation::Token)]),
    (
        "/conversation/conversationmgr/v3/assets",
        &[operation(Method::POST, Operation::CreateAsset)],
    ),
    (
        "/conversation/conversationmgr/v3/assets/{id}",
        &[
            operation(Method::GET, Operation::GetAsset),
            operation(Method::DELETE, Operation::DeleteAsset),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/accounts",
        &[
            operation(Method::POST, Operation::CreateAccount),
            operation(Method::GET, Operation::ListAccounts),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/accounts/{id}",
        &[
            operation(Method::GET, Operation::GetAccount),
            operation(Method::PUT, Operation::ReplaceAccount),
            operation(Method::DELETE, Operation::DeleteAccount),
        ],
    ),
    (
        "/conversation/conversationmgr/v3/channels",
        &[operation(Method::GET, Operation::ListChannels)],
    ),
    (
        "/conversation/conversationmgr/v3/channels/{id}",
        &[operation(Method::GET, Operation::GetChannel)],
    ),
    (
        "/storage/{id}",
        &[
            operation(Method::POST, Operation::Upload),
            operation(Method::GET, Operation::Download),
            operation(Method::HEAD, Operation::Download),
        ],
    ),
    ("/_sandbox/faults", &[(Method::POST, Target::Faults)]),
    ("/_sandbox/oddities", &[(Method::POST, Target::Oddities)]),
    ("/_sandbox/stats", &[(Method::GET, Target::Stats)]),
    ("/_sandbox/channels", &[(Method::POST, Target::PutChannel)]),
    ("/_sandbox/reset", &[(Method::POST, Target::Reset)]),
];

#[derive(Debug)]
pub(super) struct Routes(matchit::Router<Methods>);

impl Routes {
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
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<(Target, String), Lost> {
        let found = self.0.at(path).map_err(|_| Lost::Nowhere)?;
        let target = found
            .value
            .iter()
            .find(|(known, _)| known == method)
            .map(|(_, target)| *target);
        let id = found.params.get("id").unwrap_or_default().to_owned();
        target
            .map(|target| (target, id))
            .ok_or(Lost::WrongMethod(found.value))
    }
}

/// Why a request leads nowhere.
#[derive(Debug)]
pub(super) enum Lost {
    Nowhere,
    WrongMethod(Methods),
}

impl Lost {
    pub(super) fn into_reply(self) -> Reply {
        match self {
            Self::Nowhere => Reply::plain(StatusCode::NOT_FOUND, "there is nothing here"),
            Self::WrongMethod(methods) => {
                let allow = methods
                    .iter()
                    .map(|(method, _)| method.as_str())
                    .collect::<Vec<_>>()
                    .join(", ");
                let allow = HeaderValue::try_from(allow).expect("methods are plain words");
                Reply::plain(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
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
        let found = Routes::all()
            .find(&Method::GET, &format!("{API}/assets/7"))
            .unwrap();
        assert_eq!(
            found,
            (Target::Operation(Operation::GetAsset), "7".to_owned())
        );
        let refused = Routes::all()
            .find(&Method::PUT, "/storage/7")
            .unwrap_err()
            .into_reply();
        assert_eq!(
            (refused.status.as_u16(), &refused.headers[header::ALLOW]),
            (405, &"POST, GET, HEAD".parse().unwrap())
        );
    }
}
