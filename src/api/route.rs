//! Which route a request means.

use http::header::ALLOW;
use http::{HeaderValue, Method};

use super::problem::ErrorResponse;
use crate::types::account::{AccountId, ChannelId};
use crate::types::asset::AssetId;
use crate::types::caller::Permission;
use crate::types::error::{Error, ErrorCode, Stage};

/// A route with what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchedRoute {
    /// `GET /`, where there is a page.
    Home,
    /// `POST /v1/assets`.
    Upload,
    /// `GET /v1/assets/{id}`.
    Metadata(AssetId),
    /// `HEAD /v1/assets/{id}/content`.
    ContentHead(AssetId),
    /// `GET /v1/assets/{id}/content`.
    Content(AssetId),
    /// `DELETE /v1/assets/{id}`.
    Delete(AssetId),
    /// `GET /v1/accounts`.
    ListAccounts,
    /// `POST /v1/accounts`.
    CreateAccount,
    /// `GET /v1/accounts/{id}`.
    Account(AccountId),
    /// `PUT /v1/accounts/{id}`.
    ReplaceAccount(AccountId),
    /// `DELETE /v1/accounts/{id}`.
    DeleteAccount(AccountId),
    /// `GET /v1/channels`.
    ListChannels,
    /// `GET /v1/channels/{id}`.
    Channel(ChannelId),
    /// `GET /v1/limits`.
    Limits,
}

impl MatchedRoute {
    /// What it does to assets; None for a page that is open to all.
    pub const fn permission(&self) -> Option<Permission> {
        match self {
            Self::Home => None,
            Self::Upload => Some(Permission::Upload),
            Self::Metadata(_) | Self::ContentHead(_) | Self::Content(_) => Some(Permission::Read),
            Self::Delete(_) => Some(Permission::Delete),
            Self::Limits => Some(Permission::Read),
            Self::ListAccounts
            | Self::CreateAccount
            | Self::Account(_)
            | Self::ReplaceAccount(_)
            | Self::DeleteAccount(_)
            | Self::ListChannels
            | Self::Channel(_) => Some(Permission::Manage),
        }
    }

    /// The asset that its path names.
    pub const fn asset(&self) -> Option<&AssetId> {
        match self {
            Self::Metadata(id) | Self::ContentHead(id) | Self::Content(id) | Self::Delete(id) => {
                Some(id)
            }
            _ => None,
        }
    }

    /// The template, as a label.
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Upload => "/v1/assets",
            Self::Metadata(_) | Self::Delete(_) => "/v1/assets/{id}",
            Self::ContentHead(_) | Self::Content(_) => "/v1/assets/{id}/content",
            Self::ListAccounts | Self::CreateAccount => "/v1/accounts",
            Self::Account(_) | Self::ReplaceAccount(_) | Self::DeleteAccount(_) => {
                "/v1/accounts/{id}"
            }
            Self::ListChannels => "/v1/channels",
            Self::Channel(_) => "/v1/channels/{id}",
            Self::Limits => "/v1/limits",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Home,
    Assets,
    Asset,
    Content,
    Accounts,
    Account,
    Channels,
    Channel,
    Limits,
}

/// Where the data listener's routes lie.
const PLACES: [(&str, Place); 9] = [
    ("/", Place::Home),
    ("/v1/assets", Place::Assets),
    ("/v1/assets/{id}", Place::Asset),
    ("/v1/assets/{id}/content", Place::Content),
    ("/v1/accounts", Place::Accounts),
    ("/v1/accounts/{id}", Place::Account),
    ("/v1/channels", Place::Channels),
    ("/v1/channels/{id}", Place::Channel),
    ("/v1/limits", Place::Limits),
];

/// Templates and the methods they take, as `Allow` names them: for documents and the tests that
/// compare them.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    PLACES
        .into_iter()
        .map(|(template, place)| (template, place.methods()))
}

/// The table of routes.
pub struct ApiRouter(matchit::Router<Place>);

impl ApiRouter {
    /// The data listener's routes; `/` only where there is a page.
    pub fn new(home: bool) -> Self {
        let mut router = matchit::Router::new();
        for (template, place) in PLACES {
            if home || !matches!(place, Place::Home) {
                router
                    .insert(template, place)
                    .expect("the table has no conflicts");
            }
        }
        Self(router)
    }

    /// `not-found` for a path that is none, or an id that can't be one; `method-not-allowed` for
    /// another method.
    pub fn find(&self, method: &Method, path: &str) -> Result<MatchedRoute, ErrorResponse> {
        let found = self
            .0
            .at(path)
            .map_err(|_| missing("there is no such route: see the README for the routes"))?;
        let named = found.params.get("id").unwrap_or_default();
        let id = || AssetId::parse(named).ok_or_else(no_id);
        let account = || AccountId::parse(named).ok_or_else(no_id);
        match (found.value, method) {
            (Place::Home, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::Home),
            (Place::Assets, &Method::POST) => Ok(MatchedRoute::Upload),
            (Place::Asset, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::Metadata(id()?)),
            (Place::Asset, &Method::DELETE) => Ok(MatchedRoute::Delete(id()?)),
            (Place::Content, &Method::GET) => Ok(MatchedRoute::Content(id()?)),
            (Place::Content, &Method::HEAD) => Ok(MatchedRoute::ContentHead(id()?)),
            (Place::Accounts, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::ListAccounts),
            (Place::Accounts, &Method::POST) => Ok(MatchedRoute::CreateAccount),
            (Place::Account, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::Account(account()?)),
            (Place::Account, &Method::PUT) => Ok(MatchedRoute::ReplaceAccount(account()?)),
            (Place::Account, &Method::DELETE) => Ok(MatchedRoute::DeleteAccount(account()?)),
            (Place::Channels, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::ListChannels),
            (Place::Channel, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::Channel(
                ChannelId::parse(named).ok_or_else(no_id)?,
            )),
            (Place::Limits, &Method::GET | &Method::HEAD) => Ok(MatchedRoute::Limits),
            (place, _) => Err(other_method(place.methods())),
        }
    }
}

impl Place {
    const fn methods(self) -> &'static str {
        match self {
            Self::Assets => "POST",
            Self::Asset => "GET, HEAD, DELETE",
            Self::Accounts => "GET, HEAD, POST",
            Self::Account => "GET, HEAD, PUT, DELETE",
            Self::Home | Self::Content | Self::Channels | Self::Channel | Self::Limits => {
                "GET, HEAD"
            }
        }
    }
}

fn no_id() -> ErrorResponse {
    missing("this can't be an id: ids are 1 to 255 of A-Z a-z 0-9 . _ -")
}

fn missing(detail: &'static str) -> ErrorResponse {
    Error::caller(ErrorCode::NotFound, Stage::Admit, detail).into()
}

/// RFC 9110 section 15.5.6 wants the methods named.
fn other_method(methods: &'static str) -> ErrorResponse {
    let fault = Error::caller(
        ErrorCode::MethodNotAllowed,
        Stage::Admit,
        format!("this route takes these methods only: {methods}"),
    );
    ErrorResponse {
        fault,
        header: Some((ALLOW, HeaderValue::from_static(methods))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: Method, path: &str) -> Result<MatchedRoute, ErrorCode> {
        ApiRouter::new(false)
            .find(&method, path)
            .map_err(|refusal| refusal.fault.code())
    }

    #[test]
    fn every_route_is_found() {
        let id = || AssetId::parse("a-1").unwrap();
        assert_eq!(find(Method::POST, "/v1/assets"), Ok(MatchedRoute::Upload));
        assert_eq!(
            find(Method::GET, "/v1/assets/a-1"),
            Ok(MatchedRoute::Metadata(id()))
        );
        assert_eq!(
            find(Method::HEAD, "/v1/assets/a-1/content"),
            Ok(MatchedRoute::ContentHead(id()))
        );
        assert_eq!(
            find(Method::DELETE, "/v1/assets/a-1"),
            Ok(MatchedRoute::Delete(id()))
        );
    }

    #[test]
    fn what_is_no_route_or_no_id_isnt_found() {
        for path in [
            "/",
            "/v1/assets/",
            "/v1/assets/..",
            "/v1/assets/%2e%2e",
            "/v1/assets/a%2Fb/content",
            "/v1/assets/a/b/c",
        ] {
            assert_eq!(find(Method::GET, path), Err(ErrorCode::NotFound), "{path}");
        }
        assert_eq!(
            find(Method::PUT, "/v1/assets"),
            Err(ErrorCode::MethodNotAllowed)
        );
    }
}
